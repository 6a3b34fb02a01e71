"""Speech that the model of experiment=english was not trained on, with labels of its speakers.

The sets come from the manifests of the recipes in ROOT/manifests, and from tables of corpora whose
speakers are in neither the training nor the validation set.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from asr.data.manifest import Utterance, read_manifest
from asr.errors import ConfigError
from asr.text import normalize
from recipes.folder import recordings_of_table
from recipes.kaldi import read_table
from recipes.prepare import Recording, prepare, sort_by_hash
from recipes.prose import find_unclear, spell

Labels = Mapping[
    str, Mapping[str, str]
]  # by kind, such as "age": the label of each speaker

# as published at github.com/Jakobovski/free-spoken-digit-dataset
FSDD_ACCENTS = {
    "george": "Greek",
    "jackson": "US",
    "lucas": "German",
    "nicolas": "Belgian French",
    "theo": "US",
    "yweweler": "German",
}
ADULT = 16  # years
MANIFESTS = {
    "LibriSpeech": ("english/test",),
    "LibriSpeech test-other": ("english/test-other",),
    "speechocean762": ("speechocean762/test",),
    "AN4": ("an4/test",),
    "Speech Commands": ("speechcommands/test",),
    "FSDD": ("fsdd/train", "fsdd/validation", "fsdd/test"),
}


@dataclass(frozen=True)
class HeldOutSet:
    """Utterances that are scored together.

    Attributes:
        name: Name in tables.
        utterances: Utterances with normalized texts.
        labels: Labels of the speakers whose corpus publishes them.
        known_texts: Share of the utterances whose text occurs in training, None if unknown.
    """

    name: str
    utterances: Sequence[Utterance]
    labels: Labels = field(default_factory=dict)
    known_texts: float | None = None


def read_sets(
    root: Path, tables: Iterable[Path], limit: int | None = None
) -> list[HeldOutSet]:
    """Return the sets whose manifests exist, and those of tables.

    Args:
        root: Folder of all corpora.
        tables: Tables for `recipes.folder` with speakers that are not in training.
        limit: Number of utterances of each set, the first ones by the hash of their name.

    Raises:
        ConfigError: If there is no set at all, or all speakers of a table are in training.
    """
    speakers = {u.speaker for u in read_training(root, ("train", "validation"))}
    texts = {u.text for u in read_training(root, ("train",))}
    sets = [*_read_corpora(root)]
    sets += [read_unknown(root, table, speakers) for table in tables]
    if not sets:
        raise ConfigError(f"{root / 'manifests'}: no test manifest; run a recipe first")
    return [
        replace(
            held_out,
            utterances=choose_first(held_out.utterances, limit),
            known_texts=_share_of(held_out.utterances, texts) if texts else None,
        )
        for held_out in sets
    ]


def read_training(root: Path, splits: Iterable[str]) -> list[Utterance]:
    """Return the utterances of the splits of `recipes.english`, none without manifests."""
    paths = [root / f"manifests/english/{split}.jsonl" for split in splits]
    return [u for path in paths if path.exists() for u in read_manifest(path)]


def choose_first(utterances: Sequence[Utterance], limit: int | None) -> list[Utterance]:
    """Return `limit` utterances, the first ones by the hash of their file's name."""
    return sort_by_hash(utterances, lambda u: "/".join(u.name.split("/")[-2:]))[:limit]


def read_unknown(root: Path, table: Path, trained: Collection[str] = ()) -> HeldOutSet:
    """Return the recordings of a table, except those of speakers CORPUS-SPEAKER in `trained`.

    The manifest goes to ROOT/manifests/CORPUS-unknown. CORPUS is the name of the table's folder.

    Raises:
        ConfigError: If no recording is left.
        RecipeError: If the table is invalid.
    """
    corpus = table.absolute().parent.name

    def is_unknown(recording: Recording) -> bool:
        return f"{corpus}-{recording.speaker}" not in trained

    recordings = list(filter(is_unknown, recordings_of_table(table, None, "")))
    if not recordings:
        raise ConfigError(f"{table}: all its speakers are in training; pass other tables")
    spoken = list(map(_as_spoken, recordings))
    speakers = sorted({recording.speaker for recording in recordings})
    options = {"table": str(table), "speakers": speakers}
    with redirect_stdout(sys.stderr):  # standard output has only the tables of results
        folder = prepare(
            f"{corpus}-unknown", lambda: {"test": spoken}, root=root, again=False, **options
        )
    name = f"{corpus}, {', '.join(speakers)}" if len(speakers) < 3 else corpus
    return HeldOutSet(name, read_manifest(folder / "test.jsonl"))


def _as_spoken(recording: Recording) -> Recording:
    """Return a recording with its text as `recipes.english` writes it."""
    text = spell(recording.text)
    unclear = find_unclear(text)
    reason = recording.skip_reason or (unclear and f"unclear pronunciation: {unclear}")
    return replace(recording, text=text, skip_reason=reason)


def _read_corpora(root: Path) -> Iterable[HeldOutSet]:
    """Yield the sets of published corpora, and print which of them are missing."""
    for name, manifests in MANIFESTS.items():
        paths = [root / f"manifests/{manifest}.jsonl" for manifest in manifests]
        missing = [path for path in paths if not path.exists()]
        if missing:
            print(f"left out: {name}, no {missing[0]}; run its recipe", file=sys.stderr)
            continue
        utterances = list(chain.from_iterable(map(read_manifest, paths)))
        speakers = sorted({utterance.speaker for utterance in utterances})
        yield HeldOutSet(name, utterances, _read_labels(name, root, speakers))


def _read_labels(name: str, root: Path, speakers: Sequence[str]) -> Labels:
    """Return what the corpus publishes about its speakers."""
    if name == "FSDD":
        return {"accent": FSDD_ACCENTS}
    if name == "AN4":
        sexes = {speaker: _gender(speaker[:1]) for speaker in speakers}
        return {"gender": sexes}
    if name.startswith("LibriSpeech"):
        return {"gender": _read_reader_genders(root)}
    if name == "speechocean762":
        ages, genders = (
            read_table(root / f"speechocean762/test/{file}", optional=True)
            for file in ("spk2age", "spk2gender")
        )
        return {
            "accent": dict.fromkeys(speakers, "Mandarin"),
            "age": _map(ages, _age_group),
            "gender": _map(genders, _gender),
        }
    return {}


def _read_reader_genders(root: Path) -> dict[str, str]:
    """Return the genders of LibriSpeech's readers by librispeech-ID, from SPEAKERS.TXT."""
    path = root / "LibriSpeech" / "SPEAKERS.TXT"
    if not path.exists():
        return {}
    rows = [
        [column.strip() for column in line.split("|")]
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.startswith(";")
    ]
    return {f"librispeech-{row[0]}": _gender(row[1]) for row in rows if len(row) > 1}


def _gender(letter: str) -> str:
    return {"f": "female", "m": "male"}.get(letter.lower(), "unknown")


def _age_group(years: str) -> str:
    return f"{ADULT} years or older" if int(years) >= ADULT else f"below {ADULT} years"


def _map(table: Mapping[str, str], function: Callable[[str], str]) -> dict[str, str]:
    return {key: function(value) for key, value in table.items()}


def _share_of(utterances: Sequence[Utterance], texts: set[str]) -> float:
    return sum(normalize(u.text) in texts for u in utterances) / len(utterances)
