"""What forced alignment costs: python benchmarks/alignment.py CHECKPOINT MANIFEST [--minutes 60].

First line: `asr.decode.forced_align` on the emissions of 64 utterances of the manifest at once, against torchaudio's
`forced_align` and `merge_tokens` called one by one, which give the same times and scores: wall clock, medians of runs
taken in turns. Then the manifest's utterances, joined with known silences into one recording of an hour, through
`python -m asr.align`: seconds, the highest resident memory, and how many words begin within their own utterance.
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
from asr.inference.longform import compute_batch_emissions
from asr.nn import padding as ln
from asr.nn.ctc import CTCModel
from asr.nn.emissions import Emissions
from asr.text import normalize

UTTERANCES, ROUNDS = 64, 9


def read(utterance: Utterance) -> np.ndarray:
    return audio.load(utterance.audio, offset=utterance.offset, duration=utterance.duration)


def one_by_one(emissions: Emissions, labels: list[torch.Tensor]) -> None:
    for i, targets in enumerate(labels):
        tokens, scores = forced_align(emissions.row(i)[None], targets[None])
        merge_tokens(tokens[0], scores[0].exp())


def compare(model: CTCModel, utterances: list[Utterance]) -> str:
    emissions = compute_batch_emissions(
        model, [torch.from_numpy(read(utterance)) for utterance in utterances]
    )
    labels = [
        torch.tensor(model.tokenizer.encode(normalize(utterance.text))) for utterance in utterances
    ]
    targets = ln.pad_batch(labels)

    def ours() -> None:
        align_batch(emissions.log_probs, emissions.lengths, *targets)

    def theirs() -> None:
        one_by_one(emissions, labels)

    def seconds(run: Callable[[], None]) -> float:
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS + 1)][1:]
    at_once, single = (median(times) for times in zip(*pairs, strict=True))
    return (
        f"{len(utterances)} utterances, {int(emissions.lengths.sum())} frames, {torch.get_num_threads()} threads: "
        f"at once {1000 * at_once:.1f} ms, one by one {1000 * single:.1f} ms, "
        f"{median(b / a for a, b in pairs):.2f} times as fast"
    )


def join(
    utterances: list[Utterance], seconds: float, path: Path
) -> Iterator[tuple[float, float, str]]:
    """Write utterances and silences of 0.2 to 1.5 s in turns until the time is full; start, end and text of each."""
    rng = np.random.default_rng(0)
    at = 0
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1) as out:
        for utterance in cycle(utterances):
            silence = 1e-4 * rng.standard_normal(round(rng.uniform(0.2, 1.5) * SAMPLE_RATE))
            waveform = read(utterance)
            if at + len(silence) + len(waveform) > seconds * SAMPLE_RATE:
                return
            out.write(silence)
            out.write(waveform)
            first = at + len(silence)
            at = first + len(waveform)
            yield first / SAMPLE_RATE, at / SAMPLE_RATE, normalize(utterance.text)


def long(checkpoint: Path, utterances: list[Utterance], minutes: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "long.wav"
        clips = list(join(utterances, 60 * minutes, recording))
        recording.with_suffix(".txt").write_text("\n".join(text for _, _, text in clips))
        began = time.perf_counter()
        command = [
            sys.executable,
            "-m",
            "asr.align",
            str(recording),
            f"checkpoint={checkpoint}",
            "format=json",
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        took = time.perf_counter() - began
        words = json.loads(done.stdout)["words"]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN)
    owners = [(start, end) for start, end, text in clips for _ in text.split()]
    inside = sum(
        start <= word["start"] < end for word, (start, end) in zip(words, owners, strict=True)
    )
    return (
        f"{minutes:g} minutes, {len(words)} words: {took:.0f} s ({peak.ru_utime + peak.ru_stime:.0f} s of CPU), "
        f"peak {peak.ru_maxrss / 1024:.0f} MB, {inside / len(words):.2%} of the words begin within their utterance"
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
        utterance for utterance in read_manifest(options.manifest) if normalize(utterance.text)
    ]
    print(
        compare(CTCModel.load(options.checkpoint), list(islice(cycle(utterances), UTTERANCES))),
        flush=True,
    )
    print(long(options.checkpoint, utterances, options.minutes))


if __name__ == "__main__":
    main()
