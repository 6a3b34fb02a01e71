"""English of several corpora and synthesized prose: the data of a general model.

python -m recipes.english tables=[kathleen/index.tsv,ljspeech/index.tsv] prose=[books.txt.gz]
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from asr.config.app import run_recipe
from asr.files import atomic_write
from asr.text import normalize
from asr.validation import check_integer, check_number
from recipes import an4, librispeech, speechcommands, speechocean762
from recipes.errors import convert_errors
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
from recipes.synthesis import Prompt, write_recordings

VALIDATION_COMMANDS = (
    0.2  # clips of Speech Commands for validation, as a share of those for training
)


def english(
    *,
    root: Path = Path("data"),
    parts: Sequence[str] = ("train-clean-5", "dev-clean", "test-other"),
    tables: Sequence[str] = (),
    validation_speakers: Sequence[str] = (
        "librispeech-1898",
        "librispeech-3526",
        "librispeech-3664",
    ),
    test_speakers: Sequence[str] = ("librispeech-1673", "librispeech-2086"),
    leave_out: Sequence[str] = ("asterisk_prompts-allison_smith_us",),
    commands: int = 600,
    prose: Sequence[str] = (),
    synthetic_hours: float = 20.0,
    seed: int = 0,
    workers: int = 0,
    again: bool = False,
) -> Path:
    """Join LibriSpeech, AN4, speechocean762, Speech Commands, tables, and synthesized prose.

    The manifests in ROOT/manifests/english are train, validation, test, one for each test part of
    LibriSpeech, and synthetic. Speakers are named CORPUS-SPEAKER and are in one split only. The
    test sets of AN4, speechocean762, and Speech Commands are not used. Clips with numbers,
    abbreviations, or other tokens of unclear pronunciation are left out.

    Args:
        root: Folder of all corpora.
        parts: Parts of LibriSpeech. The test parts become test sets, the others are for training.
        tables: Tables of further recordings, see recipes.folder. The folder of a table names its
            corpus, and CORPUS_extra has more recordings of CORPUS.
        validation_speakers: Speakers of LibriSpeech or of a table for validation, in addition to
            the validation speakers of the other corpora.
        test_speakers: Speakers of LibriSpeech or of a table for test.jsonl.
        leave_out: Speakers that are not used. The default has a share-alike license.
        commands: Clips of Speech Commands for training.
        prose: Books with one paragraph per line (perhaps .gz). Their sentences are written to
            ROOT/english/prose.txt, for recipes.lm.
        synthetic_hours: Hours of prose to synthesize with eSpeak NG. An interrupted run resumes.
        seed: Seed of the synthesized sentences, voices, and noise.
        workers: Number of parallel processes. 0 starts one for each core.
        again: Write the manifests again even if the options have not changed.

    Raises:
        RecipeError: If a setting is invalid or a corpus is unavailable.
    """
    with convert_errors(ValueError):
        check_integer("commands", commands, ge=1)
        check_number("synthetic_hours", synthetic_hours, ge=0)
        check_integer("seed", seed, ge=0)
        check_integer("workers", workers, ge=0)
    librispeech.check_parts(parts)

    def splits() -> Splits:
        recordings, tests = _read_recordings(root, parts, tables, leave_out)
        check_speakers("validation_speakers", validation_speakers, recordings)
        check_speakers("test_speakers", test_speakers, recordings)
        train, validation = split_by_speaker(recordings, validation_speakers)
        train, test = split_by_speaker(train, test_speakers)
        others = _read_other_corpora(root, commands)
        real: Splits = {
            "train": train + others["train"],
            "validation": validation + others["validation"],
            "test": test,
            **tests,
        }
        synthetic = _synthesize(root, prose, synthetic_hours, seed, workers)
        return {split: group for split, group in (real | synthetic).items() if group}

    options = {
        "parts": parts,
        "tables": tables,
        "validation_speakers": validation_speakers,
        "test_speakers": test_speakers,
        "leave_out": leave_out,
        "commands": commands,
        "prose": prose,
        "synthetic_hours": synthetic_hours,
        "seed": seed,
    }
    return prepare("english", splits, root=root, again=again, **options)


def _read_recordings(
    root: Path, parts: Sequence[str], tables: Sequence[str], leave_out: Sequence[str]
) -> tuple[list[Recording], Splits]:
    """Return the recordings of LibriSpeech and the tables, and LibriSpeech's test parts."""
    recordings: list[Recording] = []
    tests: Splits = {}
    for part, group in librispeech.read_parts(root, parts).items():
        named = list(_name("librispeech", group))
        if part.startswith("test"):
            tests[part] = named
        else:
            recordings += named
    for table in map(Path, tables):
        corpus = table.absolute().parent.name.removesuffix("_extra")
        recordings += _name(corpus, recordings_of_table(table, None, ""))
    recordings, _ = split_by_speaker(recordings, leave_out)
    return list(_mark_duplicates(recordings)), tests


def _read_other_corpora(root: Path, commands: int) -> Splits:
    """Return train and validation of the corpora that choose their own validation speakers."""
    clips = speechcommands.read_splits(root)
    counts = {"train": commands, "validation": round(VALIDATION_COMMANDS * commands)}
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
    """Set the skip reason of files with the same name, speaker, and text as an earlier one."""
    known: set[tuple[str, str, str]] = set()
    for recording in recordings:
        key = recording.speaker, recording.audio.stem, normalize(recording.text)
        if key in known and not recording.skip_reason:
            recording = replace(recording, skip_reason="duplicate")
        known.add(key)
        yield recording


def _synthesize(
    root: Path, prose: Sequence[str], hours: float, seed: int, workers: int
) -> Splits:
    """Write the sentences of the prose, synthesize some of them, and return their recordings."""
    if not prose:
        return {}
    sentences = read_sentences(prose)
    with atomic_write(root / "english" / "prose.txt") as temporary:
        text = "".join(f"{normalize(sentence)}\n" for sentence in sentences)
        temporary.write_text(text, encoding="utf-8")
    prompts = plan(sentences, hours, seed)
    folder = root / "english" / "synthetic"
    for path in {*folder.rglob("*.flac")} - {folder / prompt.path for prompt in prompts}:
        path.unlink()  # of other settings
    write_recordings(prompts, folder, workers, noise=False)
    return {"synthetic": [_recording(folder, prompt) for prompt in prompts]}


def _recording(folder: Path, prompt: Prompt) -> Recording:
    return Recording(folder / prompt.path, prompt.text, f"espeak-{prompt.speaker}")


if __name__ == "__main__":
    sys.exit(run_recipe(english))
