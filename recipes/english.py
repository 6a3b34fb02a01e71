"""English of several corpora and synthesized prose: the data of a general model.

python -m recipes.english tables=[kathleen/index.tsv,ljspeech/index.tsv] prose=[books.txt.gz]
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from asr.config.app import run_recipe
from asr.files import atomic_write
from asr.text import normalize
from asr.validation import check_integer, check_number
from recipes import an4, librispeech, speechcommands, speechocean762
from recipes.errors import RecipeError, convert_errors
from recipes.folder import recordings_of_table
from recipes.prepare import (
    Recording,
    Splits,
    check_speakers,
    prepare,
    sort_by_hash,
    split_by_speaker,
)
from recipes.prose import find_unclear, plan, read_sentences, spell
from recipes.synthesis import write_recordings

PARTS = ("train-clean-5", "dev-clean", "test-other")
VALIDATION = ("librispeech-1898", "librispeech-3526", "librispeech-3664")
TEST = ("librispeech-1673", "librispeech-2086")
SHARE_ALIKE = ("asterisk_prompts-allison_smith_us",)
LEFT_OUT = "speaker in leave_out"  # reason in left_out.txt
VALIDATION_SHARE = 0.2  # clips of Speech Commands for validation, relative to training
SEED = 0  # of the synthesized sentences and voices


class Selection(NamedTuple):
    """The settings of `english` that select real recordings."""

    parts: Sequence[str]
    tables: Sequence[str]
    validation_speakers: Sequence[str]
    test_speakers: Sequence[str]
    leave_out: Sequence[str]
    commands: int


def english(
    *,
    root: Path = Path("data"),
    parts: Sequence[str] = PARTS,
    tables: Sequence[str] = (),
    validation_speakers: Sequence[str] = VALIDATION,
    test_speakers: Sequence[str] = TEST,
    leave_out: Sequence[str] = SHARE_ALIKE,
    commands: int = 600,
    prose: Sequence[str] = (),
    synthetic_hours: float = 20.0,
    workers: int = 0,
    again: bool = False,
) -> Path:
    """Join LibriSpeech, AN4, speechocean762, Speech Commands, tables, and synthesized prose.

    The manifests in ROOT/manifests/english are train, validation, test, one for each test part of
    LibriSpeech, and synthetic. Speakers are named CORPUS-SPEAKER and are in one split only. The
    other corpora's test sets are not used, nor are clips with tokens of unclear pronunciation.

    Args:
        root: Folder of all corpora.
        parts: Parts of LibriSpeech. The test parts become test sets, the others are for training.
        tables: Tables for recipes.folder in folders named CORPUS, or CORPUS_extra for more of it.
        validation_speakers: Speakers of LibriSpeech and tables for validation.
        test_speakers: Speakers of LibriSpeech and tables for test.jsonl.
        leave_out: Speakers that are not used. The default has a share-alike license.
        commands: Clips of Speech Commands for training.
        prose: Books (perhaps .gz) to synthesize. Their sentences go to ROOT/english/prose.txt.
        synthetic_hours: Hours to synthesize with eSpeak NG. An interrupted run resumes.
        workers: Number of parallel processes. 0 starts one for each core.
        again: Write the manifests again even if the options have not changed.

    Raises:
        RecipeError: If a setting is invalid or a corpus is unavailable.
    """
    _check_settings(parts, commands, synthetic_hours, workers)
    speakers = validation_speakers, test_speakers, leave_out
    selection = Selection(parts, tables, *speakers, commands)
    options = {**selection._asdict(), "prose": prose, "synthetic_hours": synthetic_hours}
    splits = partial(_read_splits, root, selection, prose, synthetic_hours, workers)
    return prepare("english", splits, root=root, again=again, **options)


def _check_settings(
    parts: Sequence[str], commands: int, synthetic_hours: float, workers: int
) -> None:
    librispeech.check_parts(parts)
    with convert_errors(ValueError):
        check_integer("commands", commands, ge=1)
        check_number("synthetic_hours", synthetic_hours, ge=0)
        check_integer("workers", workers, ge=0)


def _read_splits(
    root: Path, selection: Selection, prose: Sequence[str], hours: float, workers: int
) -> Splits:
    """Return all splits, and synthesize the prose."""
    recordings, tests = _read_recordings(root, selection)
    for setting in ("validation_speakers", "test_speakers"):
        check_speakers(setting, getattr(selection, setting), recordings)
    train, validation = split_by_speaker(recordings, selection.validation_speakers)
    in_both = [r.speaker for r in validation if r.speaker in selection.test_speakers]
    if in_both:
        raise RecipeError(f"test_speakers: {in_both[0]} is in validation_speakers, too.")
    train, test = split_by_speaker(train, selection.test_speakers)
    others = _read_other_corpora(root, selection.commands)
    splits: Splits = {
        "train": train + others["train"],
        "validation": validation + others["validation"],
        "test": test,
        **tests,
        "synthetic": _synthesize(root, prose, hours, workers),
    }
    return {split: group for split, group in splits.items() if group}


def _read_recordings(root: Path, selection: Selection) -> tuple[list[Recording], Splits]:
    """Return the recordings of LibriSpeech and the tables, and LibriSpeech's test parts."""
    recordings: list[Recording] = []
    tests: Splits = {}
    for part, group in librispeech.read_parts(root, selection.parts).items():
        named = list(_name("librispeech", group))
        if part.startswith("test"):
            tests[part] = named
        else:
            recordings += named
    for table in map(Path, selection.tables):
        corpus = table.absolute().parent.name.removesuffix("_extra")
        recordings += _name(corpus, recordings_of_table(table, None, ""))
    return list(_mark_duplicates(_mark_left_out(recordings, selection.leave_out))), tests


def _read_other_corpora(root: Path, commands: int) -> Splits:
    """Return train and validation of the corpora that choose their own validation speakers."""
    clips = speechcommands.read_splits(root)
    counts = {"train": commands, "validation": round(VALIDATION_SHARE * commands)}
    sample = {
        split: sort_by_hash(clips[split], lambda clip: "/".join(clip.audio.parts[-2:]))[
            :count
        ]
        for split, count in counts.items()
    }
    corpora = {
        "an4": an4.read_splits(root),
        "speechocean762": speechocean762.read_splits(root),
        "speechcommands": sample,
    }
    return {
        split: [r for name, splits in corpora.items() for r in _name(name, splits[split])]
        for split in counts
    }


def _name(corpus: str, recordings: Iterable[Recording]) -> Iterator[Recording]:
    """Yield recordings with the corpus before the speaker and with their text as it is spoken."""
    for recording in recordings:
        speaker = f"{corpus}-{recording.speaker}" if recording.speaker else corpus
        text = spell(recording.text)
        unclear = find_unclear(text)
        reason = recording.skip_reason or (unclear and f"unclear pronunciation: {unclear}")
        yield replace(recording, speaker=speaker, text=text, skip_reason=reason)


def _mark_duplicates(recordings: Iterable[Recording]) -> Iterator[Recording]:
    """Set the skip reason of recordings that equal an earlier one.

    Equal ones have the same speaker, file name, start, and text.
    """
    known: set[tuple[str, str, float, str]] = set()
    for recording in recordings:
        text = normalize(recording.text)
        key = recording.speaker, recording.audio.stem, recording.offset, text
        if key in known and not recording.skip_reason:
            recording = replace(recording, skip_reason="duplicate")
        known.add(key)
        yield recording


def _mark_left_out(
    recordings: Iterable[Recording], speakers: Sequence[str]
) -> Iterator[Recording]:
    """Set the skip reason of the recordings of some speakers."""
    for recording in recordings:
        is_left_out = recording.speaker in speakers
        yield replace(recording, skip_reason=LEFT_OUT) if is_left_out else recording


def _synthesize(
    root: Path, prose: Sequence[str], hours: float, workers: int
) -> list[Recording]:
    """Write the sentences of the prose, synthesize some of them, and return their recordings."""
    if not prose:
        return []
    sentences = read_sentences(prose)
    with atomic_write(root / "english" / "prose.txt") as temporary:
        text = "".join(f"{normalize(sentence)}\n" for sentence in sentences)
        temporary.write_text(text, encoding="utf-8")
    prompts = plan(sentences, hours, SEED)
    folder = root / "english" / "synthetic"
    for path in {*folder.rglob("*.flac")} - {folder / prompt.path for prompt in prompts}:
        path.unlink()  # of other settings
    write_recordings(prompts, folder, workers, noise=False)
    return [Recording(folder / p.path, p.text, f"espeak-{p.speaker}") for p in prompts]


if __name__ == "__main__":
    sys.exit(run_recipe(english))
