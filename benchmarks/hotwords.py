"""Measure the benefit and the cost of hotwords.

    python benchmarks/hotwords.py --checkpoint MODEL --manifest FILE --names benchmarks/names.txt

The names (a file with one per line) that occur in the transcripts of the manifest are the hotwords.
For greedy decoding and for beam searches, the table shows the following without and with hotwords:
the recognized occurrences of names, the word error rate of the utterances without names, and the
median time of decoding. The last columns use more phrases from --more, 100 in all. They compare the
time with decoding without hotwords, alone and with the time of the network added to both.
"""

import argparse
import gc
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from asr.data.manifest import read_manifest
from asr.decode.beam import BeamDecoder
from asr.decode.greedy import GreedyDecoder
from asr.decode.hypothesis import Decoder
from asr.evaluation.evaluator import load_corpus
from asr.evaluation.tuning import CorpusEmissions
from asr.evaluation.wer import score_utterance, sum_scores
from asr.nn.ctc import CTCModel
from asr.text import normalize

MIN_SECONDS = 0.5  # of each measurement
HEADINGS = (
    "decoder",
    "weight",
    "names recognized",
    "WER elsewhere",
    "seconds",
    "x without",
)
HEADINGS += ("x without, 100 phrases", "and the network")


class Result(NamedTuple):
    """Recognized and all occurrences of names, WER of other utterances, seconds of decoding."""

    recognized: int
    occurrences: int
    wer: float
    seconds: float


def measure(decoder: Decoder, corpus: CorpusEmissions, names: set[str]) -> Result:
    """Decode a corpus repeatedly and score the names in it."""
    times: list[float] = []
    while sum(times[1:]) < MIN_SECONDS:  # the first run loads files
        began = time.perf_counter()
        decoded = [decoder(emissions, corpus.tokenizer) for _, emissions in corpus.batches]
        times.append(time.perf_counter() - began)
    recognized, occurrences, others = 0, 0, []
    utterances = chain.from_iterable(utterances for utterances, _ in corpus.batches)
    for utterance, hypothesis in zip(utterances, chain.from_iterable(decoded), strict=True):
        scored = score_utterance(utterance.text, hypothesis.text)
        pairs = [(word, output) for word, output in scored.alignment if word in names]
        recognized += sum(word == output for word, output in pairs)
        occurrences += len(pairs)
        if not pairs:
            others.append(scored)
    return Result(recognized, occurrences, sum_scores(others).wer, median(times[1:]))


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--manifest", required=True, type=Path)
    parser.add_argument("--names", required=True, type=Path)
    parser.add_argument("--more", type=Path, help="phrases, one per line, to make up 100")
    parser.add_argument("--lm", type=Path)
    parser.add_argument("--weight", type=float, nargs="+", default=[1.0, 1.5, 2.0])
    return parser.parse_args()


def make_decoders(lm: Path | None) -> dict[str, Callable[..., Decoder]]:
    """Return constructors that take hotwords."""
    decoders: dict[str, Callable[..., Decoder]] = {
        "greedy": GreedyDecoder,
        "beam 50": lambda **hotwords: BeamDecoder(workers=1, **hotwords),
    }
    if lm:
        decoders["beam 50, LM"] = lambda **hotwords: BeamDecoder(
            workers=1, lm=lm, lm_weight=0.5, word_score=2.0, **hotwords
        )
    return decoders


def main() -> None:
    """Measure all decoders and print the table."""
    options = parse_arguments()
    model = CTCModel.load(options.checkpoint).eval()
    began = time.perf_counter()
    utterances = load_corpus(read_manifest(options.manifest), model.tokenizer)
    corpus = CorpusEmissions.compute(model, utterances)
    network = time.perf_counter() - began
    gc.freeze()  # or the collector scans all objects of torch during a measurement
    lines = options.names.read_text("utf-8").splitlines()
    names = [normalize(line) for line in lines if line.strip()]
    more = options.more.read_text("utf-8").split() if options.more else []
    hundred = list(dict.fromkeys([*names, *more]))[:100]
    table = Table(title=f"{len(names)} names, {options.manifest}")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "decoder" else "right")

    def add(label: str, weight: str, result: Result, *ratios: str) -> None:
        count = f"{result.recognized} of {result.occurrences}"
        table.add_row(
            label, weight, count, f"{result.wer:.2%}", f"{result.seconds:.2f}", *ratios
        )

    for label, make in make_decoders(options.lm).items():
        without = measure(make(), corpus, set(names))
        add(label, "-", without, "1.00", "-", "-")
        for weight in options.weight:
            few, many = (
                measure(
                    make(hotwords=[f"{p}:{weight}" for p in phrases]), corpus, set(names)
                )
                for phrases in (names, hundred)
            )
            add(
                label,
                f"{weight:g}",
                few,
                f"{few.seconds / without.seconds:.2f}",
                f"{many.seconds / without.seconds:.2f} ({len(hundred)})",
                f"{(network + many.seconds) / (network + without.seconds):.2f}",
            )
        table.add_section()
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
