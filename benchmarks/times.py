"""Where words are said to be: python benchmarks/times.py CHECKPOINT MANIFEST [--utterances 120].

Utterances from all over the manifest are cut to their speech, and joined, a minute at a time, with silences of 0.4 to
1.2 s between them. So it is known where the first word of each begins and its last one ends. Speech begins and ends
where the level is 10 dB above that of the quietest tenth of the utterance (`--above` another figure): its noise sets
the bound, not its peak, for in LibriSpeech noise lies no more than 35 to 40 dB below the peak, and a bound there cuts
nothing off.
Printed is how far off those boundaries are, in milliseconds, without and with sign (negative: too early): of the words
that the model hears by itself, and of the words of the known text where `asr.align` puts them. A word heard belongs to
the utterance in which its middle lies; an utterance in which no word is heard counts as two boundaries missed.
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
from asr.inference.aligner import Aligner
from asr.inference.timeline import AlignmentRequest, Timeline
from asr.inference.transcriber import Transcriber
from asr.nn.ctc import CTCModel
from asr.text import normalize

MINUTE = 60.0


class Joined(NamedTuple):
    """A recording of several utterances: where each begins and ends in seconds, and what is said in it."""

    samples: np.ndarray
    bounds: list[tuple[float, float]]
    texts: list[str]


class Timed(NamedTuple):
    """A word between two times in seconds."""

    start: float
    end: float


def speech(utterance: Utterance, above: float) -> np.ndarray:
    """The samples of an utterance from its first frame that is `above` dB over its noise to its last one."""
    samples = audio.load(utterance.audio, offset=utterance.offset, duration=utterance.duration)
    bounds = detect_speech(samples, above=above)
    if bounds is None:
        raise SystemExit(
            f"{utterance.name}: where its speech begins cannot be told; take another manifest"
        )
    start, end = (round(seconds * SAMPLE_RATE) for seconds in bounds)
    return samples[start:end]


def joined(utterances: Sequence[Utterance], above: float, rng: np.random.Generator) -> list[Joined]:
    """Recordings of about a minute, noise 70 dB below full scale in the silences."""
    found, pieces, bounds, texts, at = [], [], [], [], 0
    for number, utterance in enumerate(utterances, 1):
        silence = round(rng.uniform(0.4, 1.2) * SAMPLE_RATE)
        samples = speech(utterance, above)
        pieces += [np.zeros(silence), samples]
        bounds.append(((at + silence) / SAMPLE_RATE, (at + silence + len(samples)) / SAMPLE_RATE))
        texts.append(utterance.text)
        at += silence + len(samples)
        if at >= MINUTE * SAMPLE_RATE or number == len(utterances):
            whole = np.concatenate([*pieces, np.zeros(SAMPLE_RATE // 2)])
            whole += 10 ** (-70 / 20) * rng.standard_normal(len(whole))
            found.append(Joined(whole.astype(np.float32), bounds, texts))
            pieces, bounds, texts, at = [], [], [], 0
    return found


def errors(bounds: Sequence[tuple[float, float]], words: Sequence[Timed]) -> list[float]:
    """How much too late the first word of each utterance begins and its last one ends, in seconds; nan for none."""
    found = []
    for start, end in bounds:
        inside = [word for word in words if start <= (word.start + word.end) / 2 <= end]
        first, last = (inside[0].start, inside[-1].end) if inside else (np.nan, np.nan)
        found += [first - start, last - end]
    return found


def told(name: str, found: Sequence[float]) -> str:
    """A line: medians of starts and ends, without and with sign."""
    off = 1000 * np.array(found).reshape(-1, 2)
    missed = int(np.isnan(off).sum())
    begins, ends = (column[~np.isnan(column)] for column in off.T)
    both = np.concatenate([begins, ends])
    return (
        f"{name:10} {len(both)} boundaries, {missed} missed: off by {np.median(np.abs(both)):.0f} ms (median), "
        f"{np.quantile(np.abs(both), 0.9):.0f} ms (90 %); starts {np.median(begins):+.0f} ms, "
        f"ends {np.median(ends):+.0f} ms (medians)"
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
    every = read_manifest(options.manifest)
    spread = np.linspace(
        0, len(every), min(len(every), options.utterances), endpoint=False
    )  # over all its speakers
    utterances = [every[int(at)] for at in spread]
    recordings = joined(utterances, options.above, np.random.default_rng(0))
    heard, aligned = [], []
    with tempfile.TemporaryDirectory() as folder:
        for i, recording in enumerate(recordings):
            path = Path(folder) / f"{i}.flac"
            soundfile.write(path, recording.samples, SAMPLE_RATE)
            hypothesis = Transcriber(model).transcribe(path)
            heard += errors(
                recording.bounds, [Timed(word.start, word.end) for word in hypothesis.words]
            )
            (timeline,) = Aligner(model).align(
                [AlignmentRequest(path.name, path, " ".join(recording.texts))]
            )
            assert isinstance(timeline, Timeline), timeline
            at = 0
            for bounds, text in zip(recording.bounds, recording.texts, strict=True):
                words = timeline.words[at : at + len(normalize(text).split())]
                at += len(words)
                aligned += [words[0].start - bounds[0], words[-1].end - bounds[1]]
    print(
        f"{len(heard) // 2} utterances in {len(recordings)} recordings, {model.seconds_per_frame:.3f} s a frame"
    )
    print(told("heard", heard))
    print(told("aligned", aligned))


if __name__ == "__main__":
    main()
