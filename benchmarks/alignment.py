"""Cost of forced alignment: python benchmarks/alignment.py CHECKPOINT MANIFEST [--minutes 60].

The first line compares `asr.decode.forced_align` on a batch of 64 utterances of the manifest with
torchaudio's `forced_align` and `merge_tokens` called for each of them, which give the same times
and scores. It shows medians of wall-clock times from alternating runs.

The second line aligns one recording of an hour with `python -m asr.align`. The recording joins the
manifest's utterances with known silences. The line shows time, peak resident memory, and how many
words begin within their own utterance.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import numpy as np
import soundfile
import torch
from torchaudio.functional import forced_align, merge_tokens

from asr import audio
from asr.audio import SAMPLE_RATE
from asr.data.manifest import Utterance, read_manifest
from asr.decode.forced_align import align_batch
from asr.nn.ctc import CTCModel
from asr.nn.emissions import Emissions
from asr.text import normalize

UTTERANCES = 64
ROUNDS = 9


def load(utterance: Utterance) -> np.ndarray:
    return audio.load(utterance.audio, offset=utterance.offset, duration=utterance.duration)


def align_one_by_one(emissions: Emissions, labels: list[torch.Tensor]) -> None:
    for i, targets in enumerate(labels):
        tokens, scores = forced_align(emissions.row(i)[None], targets[None])
        merge_tokens(tokens[0], scores[0].exp())


def seconds_of(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compare_with_torchaudio(model: CTCModel, utterances: list[Utterance]) -> str:
    waveforms = [load(utterance) for utterance in utterances]
    emissions = model.compute_emissions(waveforms)
    texts = [normalize(utterance.text) for utterance in utterances]
    labels = [torch.tensor(model.tokenizer.encode(text)) for text in texts]
    arrays = [array.numpy() for array in labels]

    def align_together() -> None:
        align_batch(emissions, arrays)

    def align_separately() -> None:
        align_one_by_one(emissions, labels)

    times = [
        (seconds_of(align_together), seconds_of(align_separately))
        for _ in range(ROUNDS + 1)
    ]
    times = times[1:]  # the first round warms up
    together, separate = (median(column) for column in zip(*times, strict=True))
    ratio = median(b / a for a, b in times)
    return (
        f"{len(utterances)} utterances, {int(emissions.lengths.sum())} frames, "
        f"{torch.get_num_threads()} threads: as a batch {1000 * together:.1f} ms, "
        f"one by one {1000 * separate:.1f} ms, {ratio:.2f} times as fast"
    )


def join(
    utterances: list[Utterance],
    seconds: float,
    path: Path,
    pauses: tuple[float, float] = (0.2, 1.5),
) -> Iterator[tuple[float, float, str]]:
    """Write alternating silences and utterances until the recording is full.

    Silences last from `pauses[0]` to `pauses[1]` seconds.

    Yields:
        Start, end, and text of each utterance.
    """
    rng = np.random.default_rng(0)
    position = 0  # samples
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1) as file:
        for utterance in cycle(utterances):
            silence = 1e-4 * rng.standard_normal(round(rng.uniform(*pauses) * SAMPLE_RATE))
            waveform = load(utterance)
            if position + len(silence) + len(waveform) > seconds * SAMPLE_RATE:
                return
            file.write(silence)
            file.write(waveform)
            start = position + len(silence)
            position = start + len(waveform)
            yield start / SAMPLE_RATE, position / SAMPLE_RATE, normalize(utterance.text)


def align_long_recording(
    checkpoint: Path, utterances: list[Utterance], minutes: float
) -> str:
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "long.wav"
        clips = list(join(utterances, 60 * minutes, recording))
        recording.with_suffix(".txt").write_text("\n".join(text for _, _, text in clips))
        arguments = [str(recording), f"checkpoint={checkpoint}", "format=json"]
        start = time.perf_counter()
        process = subprocess.run(
            [sys.executable, "-m", "asr.align", *arguments],
            stdout=subprocess.PIPE,
            check=True,
        )
        seconds = time.perf_counter() - start
        words = json.loads(process.stdout)["words"]
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = usage.ru_utime + usage.ru_stime
    bounds = [(start, end) for start, end, text in clips for _ in text.split()]
    inside = sum(
        start <= word["start"] < end
        for word, (start, end) in zip(words, bounds, strict=True)
    )
    return (
        f"{minutes:g} minutes, {len(words)} words: {seconds:.0f} s ({cpu_seconds:.0f} s of CPU), "
        f"peak {usage.ru_maxrss / 1024:.0f} MB, "
        f"{inside / len(words):.2%} of the words begin within their utterance"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0)
    options = parser.parse_args()
    utterances = [
        utterance
        for utterance in read_manifest(options.manifest)
        if normalize(utterance.text)
    ]
    model = CTCModel.load(options.checkpoint)
    batch = list(islice(cycle(utterances), UTTERANCES))
    print(compare_with_torchaudio(model, batch), flush=True)
    print(align_long_recording(options.checkpoint, utterances, options.minutes))


if __name__ == "__main__":
    main()
