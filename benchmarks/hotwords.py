"""What hotwords bring and cost: python benchmarks/hotwords.py --checkpoint MODEL --manifest FILE --names FILE.

Names (a file with one on each line) that occur in the manifest's transcripts are made hotwords. For greedy decoding and
for beam searches the table gives, without them and with them: the share of the names' occurrences that are heard, the
word error rate of the utterances in which none of them occurs, and the time of decoding, the median of several; then
the time with as many more phrases from --more, 100 in all: against decoding without any, and with the network's time
added to both.
"""

import argparse
import gc
import time
from itertools import chain
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from asr.data.manifest import read_manifest
from asr.decode import BeamDecoder, GreedyDecoder
from asr.evaluation.evaluator import load_batches
from asr.evaluation.tuning import CorpusEmissions
from asr.evaluation.wer import score_utterance, sum_scores
from asr.nn.ctc import CTCModel
from asr.text import normalize

LEAST = 0.5  # seconds of each measurement


def measure(
    decoder: GreedyDecoder | BeamDecoder, heard: CorpusEmissions, names: set[str]
) -> tuple[int, int, float, float]:
    """Occurrences of names heard and in all, WER where there is none, seconds of decoding."""
    times: list[float] = []
    while sum(times[1:]) < LEAST:  # the first reads what it needs
        began = time.perf_counter()
        decoded = [decoder(emissions, heard.model.tokenizer) for _, emissions in heard.batches]
        times.append(time.perf_counter() - began)
    found, occurrences, others = 0, 0, []
    utterances = chain.from_iterable(utterances for utterances, _ in heard.batches)
    for utterance, hypothesis in zip(utterances, chain.from_iterable(decoded), strict=True):
        pair = score_utterance(utterance.text, hypothesis.text)
        steps = [(said, got) for said, got in pair.alignment if said in names]
        found += sum(said == got for said, got in steps)
        occurrences += len(steps)
        if not steps:
            others.append(pair)
    return found, occurrences, sum_scores(others).wer, median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--manifest", required=True, type=Path)
    parser.add_argument("--names", required=True, type=Path)
    parser.add_argument("--more", type=Path, help="phrases, one on each line, to make up 100")
    parser.add_argument("--lm", type=Path)
    parser.add_argument("--weight", type=float, nargs="+", default=[1.0, 1.5, 2.0])
    options = parser.parse_args()
    model = CTCModel.load(options.checkpoint).eval()
    began = time.perf_counter()
    batches = load_batches(read_manifest(options.manifest), model.tokenizer)
    heard = CorpusEmissions.compute(model, batches)
    hearing = time.perf_counter() - began
    gc.freeze()  # or the collector walks through all that torch holds, in one measurement or another
    names = [
        normalize(line) for line in options.names.read_text("utf-8").splitlines() if line.strip()
    ]
    more = options.more.read_text("utf-8").split() if options.more else []
    hundred = list(dict.fromkeys([*names, *more]))[:100]
    decoders = {"greedy": GreedyDecoder, "beam 50": lambda **o: BeamDecoder(workers=1, **o)}
    if options.lm:
        decoders["beam 50, LM"] = lambda **o: BeamDecoder(
            workers=1, lm=options.lm, lm_weight=0.5, word_score=2.0, **o
        )
    table = Table(title=f"{len(names)} names, {options.manifest}")
    for heading in (
        "decoder",
        "weight",
        "names heard",
        "WER elsewhere",
        "seconds",
        "x without",
        "x without, 100 phrases",
        "and the network",
    ):
        table.add_column(heading, justify="left" if heading == "decoder" else "right")
    for label, make in decoders.items():
        found, occurrences, wer, seconds = measure(make(), heard, set(names))
        table.add_row(
            label,
            "-",
            f"{found} of {occurrences}",
            f"{wer:.2%}",
            f"{seconds:.2f}",
            "1.00",
            "-",
            "-",
        )
        for weight in options.weight:
            one = measure(make(hotwords=[f"{name}:{weight}" for name in names]), heard, set(names))
            all_of_them = measure(
                make(hotwords=[f"{p}:{weight}" for p in hundred]), heard, set(names)
            )
            ratios = (
                one[3] / seconds,
                all_of_them[3] / seconds,
                (hearing + all_of_them[3]) / (hearing + seconds),
            )
            table.add_row(
                label, f"{weight:g}", f"{one[0]} of {occurrences}", f"{one[2]:.2%}", f"{one[3]:.2f}",
                f"{ratios[0]:.2f}", f"{ratios[1]:.2f} ({len(hundred)})", f"{ratios[2]:.2f}",
            )  # fmt: skip
        table.add_section()
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
