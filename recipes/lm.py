"""Language models for decoding: estimated from your own text, or LibriSpeech's (OpenSLR 11).

python -m recipes.lm text=data/manifests/an4/train.jsonl order=4
python -m recipes.lm fetch=3-gram.pruned.1e-7
"""

import gzip
import math
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from asr.config.app import run_recipe
from asr.data.manifest import read_manifest
from asr.files import atomic_write
from asr.text import BAR, normalize
from recipes.fetch import Archive, RecipeError, console, ensure_downloaded
from recipes.ngram import NGramModel, estimate

URL = "https://www.openslr.org/resources/11"
PUBLISHED = {  # OpenSLR gives no checksums; these are of its files as others have fetched them too
    "3-gram": "sha256:263649573475c2991d3e755eb4e690c9d2656f2b3283a1eb589e1e4e174bf874",
    "3-gram.pruned.1e-7": "sha256:71dd880667cb6ea3942bb1982988c91fb1208839a21911eeec7e31c857c4bdfb",
    "4-gram": "sha256:f2b2d1507637ddf459d3579159f7e8099ed7d77452ff1059aeeeaea33d274613",
}
ASIDE = 20  # one sentence of so many is held out where no text is given for it


def lm(
    *,
    text: Sequence[str] = (),
    held_out: Sequence[str] = (),
    order: int = 4,
    prune: Sequence[str] = (),
    unit: Literal["words", "characters"] = "words",
    fetch: Literal["3-gram", "3-gram.pruned.1e-7", "4-gram"] | None = None,
    root: Path = Path("data"),
    name: str = "",
    url: str = URL,
) -> Path:
    """Estimate a language model from text, or fetch one of LibriSpeech's; its ARPA file, root/lm/NAME.arpa.

    text=[FILE,...]
        texts with a sentence on each line (perhaps .gz), or manifests (.jsonl), normalised as transcripts are; smoothed
        by interpolated modified Kneser-Ney. Beside the model stands NAME.words, its words one on a line: a lexicon.
    held_out=[FILE,...]
        what perplexity is measured on; else one sentence in 20 of the text is, by a model of the others, and the model
        that is written knows all of them
    prune=[0,0,1]
        how often an n-gram of 1, 2, 3 and more words may occur and still be left out
    fetch=3-gram.pruned.1e-7
        LibriSpeech's models of 14,500 books, in lower case

    Raises RecipeError for a text that cannot be read or holds no words, and as a download does.
    """
    if bool(text) == (fetch is not None):
        raise RecipeError(
            "give text=FILE to estimate a language model, or fetch=NAME to have one of LibriSpeech's"
        )
    if fetch is not None:
        target = root / "lm" / f"{name or f'librispeech.{fetch}'}.arpa"
        if target.exists():
            console.print(f"{target}: there already")
        else:
            _unpacked(
                ensure_downloaded(Archive(url, f"{fetch}.arpa.gz", PUBLISHED[fetch]), root), target
            )
        return target
    if not all(limit.isdecimal() for limit in prune):
        raise RecipeError(f"prune=[{','.join(prune)}]: must be whole numbers, one for each order")
    target = root / "lm" / f"{name or Path(text[0]).name.partition('.')[0]}.arpa"
    sentences = [sentence for path in text for sentence in _sentences(Path(path), unit)]
    limits = [int(limit) for limit in prune]
    model = estimate(sentences, order=order, prune=limits)
    if model.fallbacks:
        orders = ", ".join(map(str, model.fallbacks))
        console.print(
            f"the text is too small to estimate the discounts of order {orders}: the usual ones are taken"
        )
    if held_out:
        asked = [sentence for path in held_out for sentence in _sentences(Path(path), unit)]
        measured = model.perplexity(asked)
    elif len(sentences) >= ASIDE:
        rest = [sentence for i, sentence in enumerate(sentences) if i % ASIDE]
        measured = estimate(rest, order=order, prune=limits).perplexity(sentences[::ASIDE])
    else:
        measured = (math.nan, math.nan)
    model.write(target)
    if unit == "words":
        known = sorted({word for sentence in sentences for word in sentence})
        target.with_suffix(".words").write_text(
            "".join(f"{word}\n" for word in known), encoding="utf-8"
        )
    _print_table(target, sentences, model, measured, "held_out" if held_out else f"1 in {ASIDE}")
    return target


def _sentences(path: Path, unit: str) -> Iterator[list[str]]:
    if not path.is_file():
        raise RecipeError(f"{path}: no such text")
    if path.suffix == ".jsonl":
        lines: Iterator[str] = (utterance.text for utterance in read_manifest(path))
    else:
        lines = _lines(path)
    for line in lines:
        sentence = normalize(line)
        if sentence:
            yield sentence.split() if unit == "words" else list(sentence.replace(" ", BAR))


def _lines(path: Path) -> Iterator[str]:
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8") as file
        ):
            yield from file
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not a text in UTF-8") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise RecipeError(f"{path}: damaged or cut off ({error})") from None


def _unpacked(packed: Path, target: Path) -> None:
    """The ARPA file of a packed one, in lower case as transcripts are: LibriSpeech's words are capitals."""
    console.print(f"unpacking {packed.name} to {target}")
    with atomic_write(target) as partial, partial.open("w", encoding="utf-8") as out:
        out.writelines(line.lower() for line in _lines(packed))


def _print_table(
    target: Path,
    sentences: Sequence[Sequence[str]],
    model: NGramModel,
    measured: tuple[float, float],
    on: str,
) -> None:
    table = Table(title=str(target), title_justify="left", box=box.SIMPLE_HEAD, show_header=False)
    table.add_row("sentences, words", f"{len(sentences)}, {sum(map(len, sentences))}")
    table.add_row("n-grams of 1, 2, ...", ", ".join(str(len(level.word)) for level in model.tables))
    perplexity, unknown = measured
    table.add_row(f"perplexity ({on})", "-" if math.isnan(perplexity) else f"{perplexity:.2f}")
    table.add_row(f"unknown words ({on})", "-" if math.isnan(unknown) else f"{unknown:.2%}")
    Console(highlight=False, width=None if sys.stdout.isatty() else 100).print(table)


if __name__ == "__main__":
    sys.exit(run_recipe(lm))
