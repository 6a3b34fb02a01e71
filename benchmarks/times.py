"""Accuracy of word times: python benchmarks/times.py CHECKPOINT MANIFEST [--utterances 120].

Utterances from the whole manifest are cut to their speech and joined to recordings of about a
minute, with silences of 0.4 to 1.2 s. The start of the first word and the end of the last word of
each utterance are therefore known. Speech is where the level is 10 dB (`--above`) over the quietest
tenth of the utterance. The threshold depends on the noise, because the noise in LibriSpeech is only
35 to 40 dB below the peak.

The output is the error of these boundaries in milliseconds, absolute and signed (negative is too
early), for transcribed words and for known texts that the aligner aligns. A transcribed word
belongs to the utterance that contains its middle. An utterance without a word counts as two missed
boundaries.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from asr import audio
from asr.audio import SAMPLE_RATE
from asr.audio.vad import detect_speech
from asr.data.manifest import Utterance, read_manifest
from asr.decode.hypothesis import Word
from asr.inference.aligner import Aligner
from asr.inference.timeline import AlignmentRequest, Timeline
from asr.inference.transcriber import Transcriber
from asr.nn.ctc import CTCModel
from asr.text import normalize

RECORDING_SECONDS = 60.0
NOISE_DB = -70  # level of the silences relative to full scale


class Recording(NamedTuple):
    """Samples of joined utterances, with start and end in seconds and text of each utterance."""

    samples: np.ndarray
    bounds: list[tuple[float, float]]
    texts: list[str]


def load_speech(utterance: Utterance, above: float) -> np.ndarray:
    """Return an utterance from its first to its last frame that is `above` dB over its noise."""
    samples = audio.load(
        utterance.audio, offset=utterance.offset, duration=utterance.duration
    )
    bounds = detect_speech(samples, threshold_db=above)
    if bounds is None:
        raise SystemExit(f"{utterance.name}: no speech detected; use another manifest")
    start, end = (round(seconds * SAMPLE_RATE) for seconds in bounds)
    return samples[start:end]


def join_utterances(
    utterances: Sequence[Utterance], above: float, rng: np.random.Generator
) -> list[Recording]:
    """Return recordings of about a minute with faint noise in them."""
    recordings = []
    pieces, bounds, texts, position = [], [], [], 0
    for number, utterance in enumerate(utterances, 1):
        silence = round(rng.uniform(0.4, 1.2) * SAMPLE_RATE)
        speech = load_speech(utterance, above)
        pieces += [np.zeros(silence), speech]
        start = position + silence
        position = start + len(speech)
        bounds.append((start / SAMPLE_RATE, position / SAMPLE_RATE))
        texts.append(utterance.text)
        if position >= RECORDING_SECONDS * SAMPLE_RATE or number == len(utterances):
            samples = np.concatenate([*pieces, np.zeros(SAMPLE_RATE // 2)])
            samples += 10 ** (NOISE_DB / 20) * rng.standard_normal(len(samples))
            recordings.append(Recording(samples.astype(np.float32), bounds, texts))
            pieces, bounds, texts, position = [], [], [], 0
    return recordings


def transcription_errors(
    bounds: Sequence[tuple[float, float]], words: Sequence[Word]
) -> list[tuple[float, float]]:
    """Return (start error, end error) of each utterance in seconds, nan if it has no word."""
    errors = []
    for start, end in bounds:
        inside = [word for word in words if start <= (word.start + word.end) / 2 <= end]
        first, last = (inside[0].start, inside[-1].end) if inside else (np.nan, np.nan)
        errors.append((first - start, last - end))
    return errors


def alignment_errors(recording: Recording, timeline: Timeline) -> list[tuple[float, float]]:
    """Return (start error, end error) of each utterance in seconds."""
    words = iter(timeline.words)
    errors = []
    for (start, end), text in zip(recording.bounds, recording.texts, strict=True):
        utterance = [next(words) for _ in normalize(text).split()]
        errors.append((utterance[0].start - start, utterance[-1].end - end))
    return errors


def format_errors(name: str, errors: Sequence[tuple[float, float]]) -> str:
    """Return a line with the medians of starts and ends, absolute and signed."""
    milliseconds = 1000 * np.array(errors)  # (utterances, 2)
    missed = int(np.isnan(milliseconds).sum())
    starts, ends = (column[~np.isnan(column)] for column in milliseconds.T)
    absolute = np.abs(np.concatenate([starts, ends]))
    return (
        f"{name:12} {len(absolute)} boundaries, {missed} missed: "
        f"error {np.median(absolute):.0f} ms (median), {np.quantile(absolute, 0.9):.0f} ms (90 %); "
        f"starts {np.median(starts):+.0f} ms, ends {np.median(ends):+.0f} ms (medians)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--utterances", type=int, default=120)
    parser.add_argument(
        "--above", type=float, default=10.0, help="dB over the noise at which speech begins"
    )
    options = parser.parse_args()
    model = CTCModel.load(options.checkpoint)
    corpus = read_manifest(options.manifest)
    count = min(len(corpus), options.utterances)
    indices = np.linspace(0, len(corpus), count, endpoint=False).astype(int)  # all speakers
    utterances = [corpus[i] for i in indices]
    recordings = join_utterances(utterances, options.above, np.random.default_rng(0))
    transcribed, aligned = [], []
    with tempfile.TemporaryDirectory() as folder:
        for i, recording in enumerate(recordings):
            path = Path(folder) / f"{i}.flac"
            soundfile.write(path, recording.samples, SAMPLE_RATE)
            words = Transcriber(model).transcribe(path).words
            transcribed += transcription_errors(recording.bounds, words)
            request = AlignmentRequest(path.name, path, " ".join(recording.texts))
            (timeline,) = Aligner(model).align([request])
            assert isinstance(timeline, Timeline), timeline
            aligned += alignment_errors(recording, timeline)
    frame = model.seconds_per_frame
    print(f"{count} utterances in {len(recordings)} recordings, {frame:.3f} s per frame")
    print(format_errors("transcribed", transcribed))
    print(format_errors("aligned", aligned))


if __name__ == "__main__":
    main()
