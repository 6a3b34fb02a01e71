"""Long recordings: no word is lost or doubled where regions or windows meet.

Clips carry their words in the level of the sound, and the network is replaced by one that reads
them, so every error comes from dividing and joining.
"""

import numpy as np
import pytest

from asr.inference.transcriber import Transcriber
from asr.nn.emissions import Emissions
from asr.text import Tokenizer

TOKENIZER = Tokenizer.english()
RATE = 16_000
FRAME = 640  # samples of a frame of the emissions
HUM, STEP = (
    0.02,
    0.012,
)  # level of sound without a letter, and between the levels of letters
PAUSES = {"none": 0.0, "short": 0.4, "long": 1.5}  # seconds


class LevelReader:
    """A network whose emissions follow the level in the middle of each frame."""

    tokenizer = TOKENIZER
    frame_samples = 512
    seconds_per_frame = FRAME / RATE

    def num_frames(self, samples):
        return -(-max(0, samples - self.frame_samples + 160) // FRAME)

    def compute_emissions(self, waveforms):
        rows = [self._read(np.abs(waveform)) for waveform in waveforms]
        empty = np.zeros((0, 0, 1 + len(TOKENIZER)), np.float32)
        return Emissions(empty, np.zeros(0), self.seconds_per_frame).with_rows(rows)

    def _read(self, levels):
        middles = np.arange(self.num_frames(len(levels))) * FRAME + FRAME // 2
        tokens = np.rint((np.append(levels, 0)[middles.clip(max=len(levels))] - HUM) / STEP)
        log_probs = np.full((len(tokens), 1 + len(TOKENIZER)), -20, np.float32)
        log_probs[np.arange(len(tokens)), tokens.clip(min=0).astype(int)] = -1e-3
        return log_probs


def speak(words):
    """Return samples with 120 ms of each letter, and as much hum between two of them.

    The last word ends with a space, so that it is not a part of the next one.
    """
    tokens = [
        t for token in TOKENIZER.encode("".join(f"{w} " for w in words)) for t in (token, 0)
    ]
    levels = HUM + STEP * np.repeat([0, *tokens], 3 * FRAME)
    signs = np.random.default_rng(0).choice([1, -1], len(levels))  # all frequencies
    return (levels * signs).astype(np.float32)


def make_clips(count, seed):
    """Return lists of random words."""
    rng = np.random.default_rng(seed)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    return [
        [
            "".join(rng.choice(letters, rng.integers(1, 6)))
            for _ in range(rng.integers(1, 9))
        ]
        for _ in range(count)
    ]


def join(clips, pause):
    silence = 1e-4 * np.random.default_rng(0).standard_normal(round(pause * RATE))
    gap = silence.astype(np.float32)
    return np.concatenate([part for clip in clips for part in (speak(clip), gap)])


def words_of(transcript):
    return [word.text for word in transcript.words]


@pytest.mark.parametrize("vad", [True, False], ids=["vad", "no vad"])
@pytest.mark.parametrize("pause", PAUSES)
@pytest.mark.parametrize("seed", range(3))
def test_joined_clips_have_the_words_of_the_clips(pause, vad, seed):
    clips = make_clips(80, seed)
    transcriber = Transcriber(LevelReader(), vad=vad)
    alone = [
        word
        for clip in clips
        for word in words_of(transcriber.transcribe(speak(clip), sample_rate=RATE))
    ]
    assert alone == [word for clip in clips for word in clip]
    samples = join(clips, PAUSES[pause])
    joined = transcriber.transcribe(samples, sample_rate=RATE)
    assert joined.duration == len(samples) / RATE > 300
    assert bool(joined.skipped) == (vad and pause == "long")
    assert words_of(joined) == alone
