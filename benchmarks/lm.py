"""How fast language models are estimated, and whether they are right: python benchmarks/lm.py [--text FILE].

Words for each second of the processor in `recipes.ngram.estimate` and in writing the ARPA file, the best of several
rounds, on a text with a sentence on each line; without one, on a million words made up by Zipf's law from a fixed seed.
With --held-out its perplexity by the file, as KenLM reads it, and with --reference that by another toolkit's ARPA file
of the same text and order, and the relative difference. Sentences with a word that is not in the text are left out:
what <unk> gets differs.
"""

import argparse
import math
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from asr.decode.lm import LanguageModel, read_vocabulary
from recipes.ngram import estimate

WORDS, VOCABULARY, SENTENCE = (
    1_000_000,
    50_000,
    20,
)  # of the text that is made up; words in a sentence on average


def made_up() -> list[list[str]]:
    """A text whose k-th word is as frequent as 1 / k says."""
    random = np.random.default_rng(0)
    shares = 1 / np.arange(1, VOCABULARY + 1)
    words = [f"w{i}" for i in random.choice(VOCABULARY, WORDS, p=shares / shares.sum()).tolist()]
    ends = np.flatnonzero(random.random(WORDS) < 1 / SENTENCE) + 1
    bounds = [0, *ends[ends < WORDS].tolist(), WORDS]
    return [words[a:b] for a, b in pairwise(bounds)]


def sentences(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def perplexity(arpa: Path, held_out: list[list[str]], known: set[str]) -> float:
    """Of known words and ends of sentences, by KenLM; sentences with an unknown word are left out."""
    model = LanguageModel(arpa, read_vocabulary(arpa) or [])
    whole = [sentence for sentence in held_out if known.issuperset(sentence)]
    if not whole:
        return math.nan
    return math.exp(-sum(map(model.log_prob, whole)) / sum(len(sentence) + 1 for sentence in whole))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", type=Path, help="a sentence on each line (default: made up)")
    parser.add_argument("--order", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3, help="the best counts")
    parser.add_argument("--held-out", type=Path, help="text that perplexity is measured on")
    parser.add_argument(
        "--reference", type=Path, help="ARPA file of another toolkit, of the same text and order"
    )
    options = parser.parse_args()
    if options.reference and not options.held_out:
        parser.error("--reference needs --held-out")
    text = sentences(options.text) if options.text else made_up()
    words = sum(map(len, text))
    known = {word for sentence in text for word in sentence}
    estimating, writing = [], []
    with tempfile.TemporaryDirectory() as folder:
        ours = Path(folder) / "ours.arpa"
        for _ in range(options.rounds):
            began = time.process_time()
            model = estimate(text, order=options.order)
            estimated = time.process_time()
            model.write(ours)
            estimating.append(estimated - began)
            writing.append(time.process_time() - estimated)
        table = Table(
            title=f"{options.text.name if options.text else 'made up'}: {words:,} words, {len(known):,} different, "
            f"{sum(len(level.word) for level in model.tables):,} n-grams, order {options.order}"
        )
        table.add_column("")
        table.add_column("CPU seconds", justify="right")
        table.add_column("words a second", justify="right")
        for name, seconds in (
            ("estimate", min(estimating)),
            ("write", min(writing)),
            ("both", min(map(sum, zip(estimating, writing, strict=True)))),
        ):
            table.add_row(name, f"{seconds:.2f}", f"{words / seconds:,.0f}")
        Console(width=120).print(table)
        if options.held_out:
            held_out = sentences(options.held_out)
            whole = sum(known.issuperset(sentence) for sentence in held_out)
            measured = perplexity(ours, held_out, known)
            print(
                f"perplexity of the {whole} of {len(held_out)} sentences without unknown words: {measured:.3f}"
            )
            if options.reference:
                reference = perplexity(options.reference, held_out, known)
                print(
                    f"by {options.reference.name}: {reference:.3f}, ours {measured / reference - 1:+.3%}"
                )


if __name__ == "__main__":
    main()
