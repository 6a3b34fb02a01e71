"""Measure how silence, faint noise, level, and bandwidth change the word error rate of a model.

    python benchmarks/robustness.py outputs/an4/model.safetensors data/manifests/an4/test.jsonl

Each row changes every clip of the manifest in one way. Levels are relative to full scale, noise is
white. A stretch in the middle is inserted where the middle half of the clip is quietest, which may
be inside a word. One between words is inserted at the word boundary nearest the middle, found by
aligning the clip with its transcript; clips of one word do not change. The last rows count the
words in five seconds without speech.
"""

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from asr import audio
from asr.audio import SAMPLE_RATE
from asr.data.batch_augment import quietest_sample
from asr.data.manifest import read_manifest
from asr.decode.greedy import GreedyDecoder
from asr.errors import AsrError
from asr.evaluation.wer import score_utterance, sum_scores
from asr.inference.aligner import Aligner
from asr.inference.timeline import AlignmentRequest, Timeline
from asr.inference.transcriber import Transcriber

LEVELS = {
    "zeros": None,
    "noise -60 dB": -60.0,
    "noise -45 dB": -45.0,
}  # dB relative to full scale
SECONDS = (0.25, 1.0, 5.0)
PLACES = ("before", "after", "both", "middle", "between words")
REACH = 0.1  # seconds around a word boundary in which the quietest sample is looked for
JOINED, GAP = 10, 0.25  # clips, seconds between them
BATCH = 16  # clips
ALONE = 5.0  # seconds without speech


@dataclass(frozen=True)
class Clip:
    """Samples (S,), and where a stretch is inserted inside them.

    `boundary` is None in a clip of one word.
    """

    samples: np.ndarray
    middle: int
    boundary: int | None


Change = Callable[[Clip, np.random.Generator], np.ndarray]


def main() -> None:
    """Print the table for the model and the manifest on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--limit", type=int, help="use only the first clips")
    options = parser.parse_args()
    transcriber = Transcriber.load(options.model)
    utterances = read_manifest(options.manifest)[: options.limit]
    references = [u.text for u in utterances]
    samples = [
        audio.load(u.audio, offset=u.offset, duration=u.duration) for u in utterances
    ]
    boundaries = word_boundaries(transcriber, samples, references)
    clips = [
        Clip(waveform, quietest_sample(waveform), boundary)
        for waveform, boundary in zip(samples, boundaries, strict=True)
    ]

    original = wer(transcriber, samples, references)
    table = Table(
        "change", "WER", "difference", title=f"{options.model}, {len(clips)} clips"
    )
    table.add_row("none", f"{original:.2%}", "")
    for name, change in changes():
        changed = [change(clip, np.random.default_rng(i)) for i, clip in enumerate(clips)]
        rate = wer(transcriber, changed, references)
        table.add_row(name, f"{rate:.2%}", f"{100 * (rate - original):+.2f}")
    rate = joined_wer(transcriber, samples, references)
    table.add_row(
        f"{JOINED} clips joined", f"{rate:.2%}", f"{100 * (rate - original):+.2f}"
    )
    for name, level in LEVELS.items():
        sound = stretch(ALONE, level, np.random.default_rng(0))
        words = transcribe(transcriber, [sound])[0].split()
        table.add_row(f"{name} alone, {ALONE:g} s", f"{len(words)} words", "")
    Console(width=80).print(table)


def changes() -> Iterator[tuple[str, Change]]:
    """Yield the name of each change and the function that makes it."""
    for (name, level), seconds, place in product(LEVELS.items(), SECONDS, PLACES):
        yield f"{name}, {seconds:g} s {place}", inserting(level, seconds, place)
    for gain in (-30.0, 12.0):
        yield (
            f"gain {gain:+g} dB",
            lambda clip, _, gain=gain: clip.samples * np.float32(10 ** (gain / 20)),
        )
    yield "telephone band", lambda clip, _: narrow_band(clip.samples)
    for snr in (20.0, 10.0):
        yield (
            f"noise at {snr:g} dB SNR",
            lambda clip, rng, snr=snr: with_noise(clip.samples, snr, rng),
        )


def inserting(level: float | None, seconds: float, place: str) -> Change:
    """Return a change that adds a stretch without speech before, after, or inside a clip."""

    def change(clip: Clip, rng: np.random.Generator) -> np.ndarray:
        position = {
            "before": 0,
            "after": len(clip.samples),
            "both": 0,
            "middle": clip.middle,
            "between words": clip.boundary,
        }[place]
        if position is None:
            return clip.samples
        sounds = [clip.samples[:position], stretch(seconds, level, rng)]
        sounds.append(clip.samples[position:])
        if place == "both":
            sounds.append(stretch(seconds, level, rng))
        return np.concatenate(sounds)

    return change


def word_boundaries(
    transcriber: Transcriber, clips: Sequence[np.ndarray], references: Sequence[str]
) -> list[int | None]:
    """Return the word boundary nearest the middle of each clip as a sample, None without one."""
    requests = [
        AlignmentRequest(str(i), wav(clip), reference)
        for i, (clip, reference) in enumerate(zip(clips, references, strict=True))
    ]
    timelines = Aligner(transcriber.model).align(requests)
    return [nearest_boundary(*pair) for pair in zip(clips, timelines, strict=True)]


def nearest_boundary(clip: np.ndarray, timeline: Timeline | AsrError) -> int | None:
    """Return the quietest sample at the word boundary nearest the middle, None without one."""
    if isinstance(timeline, AsrError) or len(timeline.words) < 2:
        return None
    middle = len(clip) / SAMPLE_RATE / 2
    pairs = list(pairwise(timeline.words))
    before, after = min(pairs, key=lambda p: abs((p[0].end + p[1].start) / 2 - middle))
    first = max(0, round((before.end - REACH) * SAMPLE_RATE))
    return first + quietest_sample(clip[first : round((after.start + REACH) * SAMPLE_RATE)])


def stretch(seconds: float, level: float | None, rng: np.random.Generator) -> np.ndarray:
    """Return digital silence, or white noise at a level in dB relative to full scale."""
    size = round(seconds * SAMPLE_RATE)
    if level is None:
        return np.zeros(size, dtype=np.float32)
    return (10 ** (level / 20) * rng.standard_normal(size)).astype(np.float32)


def narrow_band(clip: np.ndarray) -> np.ndarray:
    """Return the clip without the frequencies above 4 kHz."""
    return audio.resample(audio.resample(clip, SAMPLE_RATE, 8_000), 8_000, SAMPLE_RATE)


def with_noise(clip: np.ndarray, snr: float, rng: np.random.Generator) -> np.ndarray:
    """Return the clip with white noise at a signal-to-noise ratio in dB."""
    power = np.mean(np.square(clip, dtype=np.float64)) * 10 ** (-snr / 10)
    return (clip + np.sqrt(power) * rng.standard_normal(len(clip))).astype(np.float32)


def wer(
    transcriber: Transcriber, clips: Sequence[np.ndarray], references: Sequence[str]
) -> float:
    """Return the word error rate of greedy decoding over clips."""
    texts = transcribe(transcriber, clips)
    return sum_scores(map(score_utterance, references, texts)).wer


def transcribe(transcriber: Transcriber, clips: Sequence[np.ndarray]) -> list[str]:
    """Return the text of each clip, computed in batches of clips of similar length."""
    model, decoder = transcriber.model, GreedyDecoder()
    texts = [""] * len(clips)
    for rows in groups(sorted(range(len(clips)), key=lambda i: len(clips[i])), BATCH):
        waveforms = [clips[i] for i in rows]
        emissions = model.compute_emissions(waveforms)
        for i, hypothesis in zip(rows, decoder(emissions, model.tokenizer), strict=True):
            texts[i] = hypothesis.text
    return texts


def joined_wer(
    transcriber: Transcriber, clips: Sequence[np.ndarray], references: Sequence[str]
) -> float:
    """Return the word error rate of groups of clips, transcribed as one recording each."""
    gap = np.zeros(round(GAP * SAMPLE_RATE), dtype=np.float32)
    hypotheses, texts = [], []
    for rows in groups(range(len(clips)), JOINED):
        recording = np.concatenate([part for i in rows for part in (clips[i], gap)])
        hypotheses.append(transcriber.transcribe(wav(recording)).text)
        texts.append(" ".join(references[i] for i in rows))
    return sum_scores(map(score_utterance, texts, hypotheses)).wer


def wav(samples: np.ndarray) -> bytes:
    """Return samples (S,) as the content of a WAV file."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def groups(indices: Sequence[int], size: int) -> list[Sequence[int]]:
    """Split indices into groups of `size`; the last group may be smaller."""
    return [indices[i : i + size] for i in range(0, len(indices), size)]


if __name__ == "__main__":
    main()
