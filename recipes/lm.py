"""Language models for decoding: estimated from your own text, or LibriSpeech's (OpenSLR 11).

python -m recipes.lm text=data/manifests/an4/train.jsonl order=4
python -m recipes.lm fetch=3-gram.pruned.1e-7
"""

import gzip
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from rich import box
from rich.table import Table

from asr.config.app import run_recipe
from asr.data.filter import count_tags
from asr.data.manifest import read_manifest
from asr.files import atomic_write
from asr.tables import print_tables
from asr.text import BAR, is_symbol, normalize, without_symbols
from asr.validation import check_integer
from recipes.console import console
from recipes.errors import RecipeError, check_name, convert_errors
from recipes.fetch import DAMAGED, ensure_downloaded
from recipes.ngram import UNKNOWN, estimate

URL = "https://www.openslr.org/resources/11"
PUBLISHED = {  # OpenSLR gives no checksums. Independent downloads had these.
    "3-gram": "sha256:263649573475c2991d3e755eb4e690c9d2656f2b3283a1eb589e1e4e174bf874",
    "3-gram.pruned.1e-7": "sha256:71dd880667cb6ea3942bb1982988c91fb1208839a21911eeec7e31c857c4bdfb",
    "4-gram": "sha256:f2b2d1507637ddf459d3579159f7e8099ed7d77452ff1059aeeeaea33d274613",
}
HELD_OUT = 20  # without held-out text, perplexity is measured on one sentence out of 20


def lm(
    *,
    text: Sequence[str] = (),
    held_out: Sequence[str] = (),
    order: int = 4,
    prune: Sequence[str] = (),
    unit: Literal["words", "characters"] = "words",
    vocabulary: int | None = None,
    compress: bool = False,
    fetch: Literal["3-gram", "3-gram.pruned.1e-7", "4-gram"] | None = None,
    root: Path = Path("data"),
    name: str = "",
    url: str = URL,
) -> Path:
    """Estimate a language model from text, or download one, and write ROOT/lm/NAME.arpa.

    Pass text= or fetch=. Estimation uses interpolated modified Kneser-Ney smoothing. A model of
    words also gets ROOT/lm/NAME.words with one word per line, a lexicon for the decoder.

    Args:
        text: Texts with one sentence per line (perhaps .gz) or manifests (.jsonl). They are
            normalized like transcripts.
        held_out: Texts or manifests to measure perplexity on. Without them, a second model is
            estimated from 19 of 20 sentences and measured on the others.
        order: Words in the longest n-grams.
        prune: Counts for n-grams of 1, 2, ... words, the last one also for longer n-grams.
            N-grams that occur no more often are left out, except single words.
        unit: Token of the model: words or characters.
        vocabulary: Number of frequent words to keep. The others count as <unk>.
        compress: Write ROOT/lm/NAME.arpa.gz, a third of the size.
        fetch: LibriSpeech model (14,500 books) to download and convert to lower case.
        root: Folder of all corpora.
        name: Name of the model. By default the name of the first text, or librispeech.FETCH.
        url: Folder of LibriSpeech's models. Set it to use a mirror.

    Raises:
        RecipeError: If a setting is invalid, a text has no words, or a file is unavailable.
    """
    target = root / "lm" / _file_name(text, fetch, name, compress)
    if fetch:
        _fetch(fetch, target, root, url)
    else:
        _estimate(text, held_out, order, prune, unit, vocabulary, target)
    return target


def _file_name(text: Sequence[str], fetch: str | None, name: str, compress: bool) -> str:
    if bool(text) == bool(fetch):
        raise RecipeError(
            "Pass text=FILE to estimate a model, or fetch=NAME to download one."
        )
    name = check_name(name or None)
    if fetch:
        return f"{name or f'librispeech.{fetch}'}.arpa"
    name = name or Path(text[0]).name.partition(".")[0]
    return f"{name}.arpa.gz" if compress else f"{name}.arpa"


def _estimate(
    text: Sequence[str],
    held_out: Sequence[str],
    order: int,
    prune: Sequence[str],
    unit: str,
    vocabulary: int | None,
    target: Path,
) -> None:
    if vocabulary is not None:
        with convert_errors(ValueError):
            check_integer("vocabulary", vocabulary, ge=1)
    with convert_errors(ValueError, problem="prune must be a list of integers"):
        limits = [int(limit) for limit in prune]
    sentences = _read_sentences(text, unit)
    held_out_sentences = _read_sentences(held_out, unit)  # finds wrong paths early
    counts = Counter(word for sentence in sentences for word in sentence)
    words = {word for word, _ in counts.most_common(vocabulary)}
    sentences = [[w if w in words else UNKNOWN for w in s] for s in sentences]
    model = estimate(sentences, order=order, prune=limits)
    for fallback in model.fallbacks:
        problem = f"The text is too small for discounts of order {fallback}"
        console.print(f"{problem}. Using defaults.")
    sample, measured = f"1 in {HELD_OUT}", None
    if held_out:
        sample, measured = "held_out", model.perplexity(held_out_sentences)
    elif len(sentences) >= HELD_OUT:
        rest = [sentence for i, sentence in enumerate(sentences) if i % HELD_OUT]
        other_model = estimate(rest, order=order, prune=limits)
        measured = other_model.perplexity(sentences[::HELD_OUT])
    model.write(target)
    if unit == "words":
        lexicon = target.with_name(f"{target.name.partition('.arpa')[0]}.words")
        lexicon.write_text("\n".join([*sorted(words), ""]), encoding="utf-8")
    sizes = [str(len(table.word)) for table in model.tables]
    table = Table(
        title=str(target), title_justify="left", box=box.SIMPLE_HEAD, show_header=False
    )
    table.add_row("sentences, words", f"{len(sentences)}, {sum(map(len, sentences))}")
    table.add_row("n-grams of 1, 2, ...", ", ".join(sizes))
    table.add_row(f"perplexity ({sample})", f"{measured[0]:.2f}" if measured else "-")
    table.add_row(f"unknown words ({sample})", f"{measured[1]:.2%}" if measured else "-")
    print_tables(table)


def _fetch(name: str, target: Path, root: Path, url: str) -> None:
    """Download a published model and convert it to lower case, like transcripts."""
    if target.exists():
        console.print(f"{target} exists")
        return
    archive = ensure_downloaded(url, f"{name}.arpa.gz", root, PUBLISHED[name])
    console.print(f"extracting {archive.name} to {target}")
    with (
        atomic_write(target) as partial,
        partial.open("w", encoding="utf-8", newline="\n") as file,
    ):
        file.writelines(line.lower() for line in read_lines(archive))


def _read_sentences(paths: Sequence[str], unit: str) -> list[list[str]]:
    sentences: list[str] = []
    symbols: Counter[str] = Counter()
    for path in map(Path, paths):
        is_manifest = path.suffix == ".jsonl"
        lines = (u.text for u in read_manifest(path)) if is_manifest else read_lines(path)
        for text in map(normalize, lines):
            symbols.update(filter(is_symbol, text))
            sentences += filter(None, [without_symbols(text)])
    if symbols:  # no model writes them
        console.print(f"symbols that are dropped: {count_tags(symbols.most_common())}")
    if unit == "words":
        return [sentence.split() for sentence in sentences]
    return [list(sentence.replace(" ", BAR)) for sentence in sentences]


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 text, which may be compressed (.gz).

    Raises:
        RecipeError: If the text cannot be read.
    """
    open_text = gzip.open if path.suffix == ".gz" else open
    with (
        convert_errors(OSError, ValueError, problem=f"{path}: not a readable UTF-8 text"),
        convert_errors(*DAMAGED, problem=f"{path} is damaged or incomplete"),
        open_text(path, "rt", encoding="utf-8") as file,
    ):
        yield from file


if __name__ == "__main__":
    sys.exit(run_recipe(lm))
