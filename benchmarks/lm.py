"""Measure the speed and the perplexity of language models: python benchmarks/lm.py [--text FILE].

The table shows the CPU time of `recipes.ngram.estimate` and of writing the ARPA file, the best of
several rounds, for a text with one sentence per line. The default is a generated text of a million
words with Zipf's distribution. --held-out gives the perplexity of the file, as KenLM reads it.
--reference compares it with the ARPA file of another toolkit, of the same text and order. Sentences
with words that are not in the text are skipped, because toolkits differ in the share of <unk>.
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
from recipes.ngram import NGramModel, estimate

WORDS, VOCABULARY = 1_000_000, 50_000  # of the generated text
SENTENCE = 20  # mean number of words in a generated sentence


def generate_text() -> list[list[str]]:
    """Return sentences in which the frequency of the k-th word is proportional to 1 / k."""
    random = np.random.default_rng(0)
    shares = 1 / np.arange(1, VOCABULARY + 1)
    words = [
        f"w{i}" for i in random.choice(VOCABULARY, WORDS, p=shares / shares.sum()).tolist()
    ]
    ends = np.flatnonzero(random.random(WORDS) < 1 / SENTENCE) + 1
    bounds = [0, *ends[ends < WORDS].tolist(), WORDS]
    return [words[low:high] for low, high in pairwise(bounds)]


def read_sentences(path: Path) -> list[list[str]]:
    """Return the words of each line."""
    return [
        line.split()
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]


def perplexity(arpa: Path, held_out: list[list[str]], known: set[str]) -> float:
    """Return the perplexity of words and sentence ends by KenLM, for sentences of known words."""
    model = LanguageModel(arpa, read_vocabulary(arpa) or [])
    sentences = [sentence for sentence in held_out if known.issuperset(sentence)]
    if not sentences:
        return math.nan
    predictions = sum(len(sentence) + 1 for sentence in sentences)
    return math.exp(-sum(map(model.log_prob, sentences)) / predictions)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--text", type=Path, help="one sentence per line (default: generated)"
    )
    parser.add_argument("--order", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3, help="the best one counts")
    parser.add_argument("--held-out", type=Path, help="text for the perplexity")
    parser.add_argument(
        "--reference",
        type=Path,
        help="ARPA file of another toolkit, of the same text and order",
    )
    options = parser.parse_args()
    if options.reference and not options.held_out:
        parser.error("--reference needs --held-out")
    return options


def measure(
    text: list[list[str]], order: int, rounds: int, arpa: Path
) -> tuple[NGramModel, dict[str, float]]:
    """Estimate a model and write it several times. Return the model and the best CPU seconds."""
    estimating, writing = [], []
    for _ in range(rounds):
        began = time.process_time()
        model = estimate(text, order=order)
        estimated = time.process_time()
        model.write(arpa)
        estimating.append(estimated - began)
        writing.append(time.process_time() - estimated)
    both = min(map(sum, zip(estimating, writing, strict=True)))
    return model, {"estimate": min(estimating), "write": min(writing), "both": both}


def print_perplexity(arpa: Path, options: argparse.Namespace, known: set[str]) -> None:
    """Print the perplexity of the held-out text, and of the reference if there is one."""
    held_out = read_sentences(options.held_out)
    count = sum(known.issuperset(sentence) for sentence in held_out)
    ours = perplexity(arpa, held_out, known)
    print(
        f"perplexity of the {count} of {len(held_out)} sentences of known words: {ours:.3f}"
    )
    if options.reference:
        reference = perplexity(options.reference, held_out, known)
        print(
            f"{options.reference.name}: {reference:.3f}, ours {ours / reference - 1:+.3%}"
        )


def main() -> None:
    """Measure and print the tables."""
    options = parse_arguments()
    text = read_sentences(options.text) if options.text else generate_text()
    words = sum(map(len, text))
    known = {word for sentence in text for word in sentence}
    with tempfile.TemporaryDirectory() as folder:
        arpa = Path(folder) / "ours.arpa"
        model, times = measure(text, options.order, options.rounds, arpa)
        name = options.text.name if options.text else "generated"
        n_grams = sum(len(level.word) for level in model.tables)
        table = Table(
            title=f"{name}: {words:,} words, {len(known):,} different, {n_grams:,} n-grams, "
            f"order {options.order}"
        )
        table.add_column("")
        table.add_column("CPU seconds", justify="right")
        table.add_column("words per second", justify="right")
        for step, seconds in times.items():
            table.add_row(step, f"{seconds:.2f}", f"{words / seconds:,.0f}")
        Console(width=120).print(table)
        if options.held_out:
            print_perplexity(arpa, options, known)


if __name__ == "__main__":
    main()
