"""Data sets of the Hugging Face Hub, or saved by the package `datasets`."""

import hashlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import fsspec

from asr.audio import EXTENSIONS
from asr.audio.containers import HEAD_SIZE, sniff
from asr.config.app import run_recipe
from asr.data.manifest import is_file
from asr.data.shards import UNSAFE
from asr.files import atomic_write
from recipes.console import console, track
from recipes.errors import RecipeError, check_name, convert_errors
from recipes.prepare import Recording, Splits, prepare
from recipes.splits import check_shares, fill_splits

HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?(?<!\.parquet)")
SPLIT_NAMES = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
COLUMNS = {
    "audio": ("audio",),
    "text": ("text", "sentence", "transcription", "transcript", "normalized_text"),
    "speaker": ("speaker_id", "client_id", "speaker"),
}


@dataclass(frozen=True)
class Columns:
    """Names of columns. "" guesses the name."""

    audio: str
    text: str
    speaker: str


def hf(
    *,
    dataset: str | None = None,
    config: str | None = None,
    train: Sequence[str] = (),
    validation: Sequence[str] = (),
    test: Sequence[str] = (),
    audio: str | None = None,
    text: str | None = None,
    speaker: str | None = None,
    root: Path = Path("data"),
    name: str = "hf",
    validation_share: float = 0.05,
    test_share: float = 0.05,
) -> Path:
    """Write manifests for a Hugging Face data set to ROOT/manifests/NAME.

    The data set is a name on the Hub, which is downloaded, or a folder: one that save_to_disk
    wrote, an AudioFolder, or Parquet files. Audio becomes files in ROOT/NAME, each one exactly as
    the data set stores it. Files of a local data set are not copied. An interrupted run resumes.
    Each run writes the manifests again. Needs pip install 'asr[hf]'.

    Args:
        dataset: Name such as openslr/librispeech_asr, a folder, or a Parquet file.
        config: Configuration of the data set, often the language.
        train: Its splits for training, such as [train.100,train.360]. It defaults to train.
        validation: Splits for validation. It defaults to validation, valid, val, or dev.
        test: Splits for test. It defaults to test.
        audio: Column of the audio. It defaults to the first one with audio.
        text: Column of the transcripts. It defaults to text, sentence, transcription, and others.
        speaker: Column of the speakers. It defaults to speaker_id, client_id, or speaker.
        root: Folder of all corpora.
        name: Name of the corpus.
        validation_share: Share of train for validation if there is no such split, by speaker.
        test_share: The same for test.

    Raises:
        RecipeError: If the data set cannot be loaded, or has no such split or column.
    """
    check_shares(validation_share, test_share)
    wanted = {"train": train, "validation": validation, "test": test}
    columns = Columns(audio or "", text or "", speaker or "")
    splits = _read_splits(dataset or "", config, wanted, columns, root / check_name(name))
    splits = fill_splits(splits, validation_share=validation_share, test_share=test_share)
    return prepare(name, lambda: splits, root=root, again=True)


def _read_splits(
    dataset: str,
    config: str | None,
    wanted: Mapping[str, Sequence[str]],
    columns: Columns,
    folder: Path,
) -> Splits:
    """Return the recordings of each split, with their audio in a folder."""
    tables = _load(dataset, config)
    return {
        split: [
            recording
            for part in parts
            for recording in _recordings(dataset, tables[part], columns, folder / part)
        ]
        for split, parts in _choose_splits(list(tables), wanted).items()
    }


def _load(dataset: str, config: str | None) -> dict[str, Any]:
    """Return the splits of a data set by name.

    Raises:
        RecipeError: If the data set or the package is missing.
    """
    if not dataset:
        raise RecipeError("Pass dataset=NAME of the Hugging Face Hub, or dataset=FOLDER.")
    with convert_errors(ImportError, fix="Run pip install 'asr[hf]'."):
        import datasets
    if not console.is_terminal:
        datasets.disable_progress_bars()
    _name_files_without_torchcodec(datasets.Audio)
    path = Path(dataset).expanduser()
    if not path.exists() and not HUB_NAME.fullmatch(dataset):
        raise RecipeError(f"dataset={dataset}: no such file or folder.")
    with _explain_errors(dataset):
        if any((path / file).exists() for file in ("dataset_dict.json", "state.json")):
            loaded = datasets.load_from_disk(str(path))
        elif path.is_file():
            loaded = datasets.load_dataset("parquet", data_files=str(path), streaming=True)
        elif path.is_dir():  # streaming makes no copy in the cache of the package
            loaded = datasets.load_dataset(str(path), config, streaming=True)
        else:
            loaded = datasets.load_dataset(dataset, config)
    return dict(loaded) if isinstance(loaded, dict) else {"train": loaded}


def _name_files_without_torchcodec(audio: Any) -> None:
    """Let the package name the files of an AudioFolder without torchcodec.

    Its `encode_example` imports torchcodec, which needs FFmpeg's libraries, but uses it only to
    encode samples. `test_an_audio_folder_stays_where_it_is` fails without this function.
    """

    def encode_example(self: Any, value: Any) -> dict[str, Any]:
        if isinstance(value, dict) and "array" not in value:
            return {"bytes": value.get("bytes"), "path": value.get("path")}
        if isinstance(value, str):
            return {"bytes": None, "path": value}
        return dict(original(self, value))

    original = audio.encode_example
    audio.encode_example = encode_example


def _choose_splits(
    existing: Sequence[str], wanted: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Return the splits of a data set that form train, validation, and test.

    Raises:
        RecipeError: If a wanted split does not exist, or none is known by its name.
    """
    choices = f"Splits of this data set: {shorten(', '.join(existing), 200)}"
    chosen = {}
    for split, names in SPLIT_NAMES.items():
        missing = sorted(set(wanted[split]) - set(existing))
        if missing:
            raise RecipeError(f"{split}: no split {', '.join(missing)}. {choices}.")
        parts = list(wanted[split]) or [part for part in names if part in existing][:1]
        if parts:
            chosen[split] = parts
    if not chosen:
        raise RecipeError(f"no split train. Pass train=[NAME]. {choices}.")
    return chosen


def _recordings(
    dataset: str, table: Any, columns: Columns, folder: Path
) -> Iterator[Recording]:
    """Yield the rows of a split. Audio inside the data set is written to a folder."""
    import datasets

    features = table.features or {}
    columns = _find_columns(features, columns, datasets.Audio)
    names = [name for name in vars(columns).values() if name]
    with _explain_errors(dataset):
        rows = table.select_columns(list(dict.fromkeys(names)))
        rows = rows.cast_column(columns.audio, datasets.Audio(decode=False))
    is_local = Path(dataset).expanduser().exists()
    total = getattr(table, "num_rows", None)
    for number, row in enumerate(track(_rows(dataset, rows), folder.name, total)):
        file = _store(row[columns.audio] or {}, folder, is_local=is_local)
        fields = {name: _to_text(row[name], features[name]) for name in names[1:]}
        reason = "" if fields[columns.text].strip() else "no transcript"
        yield Recording(
            file or folder / str(number),
            fields[columns.text],
            fields.get(columns.speaker, ""),
            skip_reason=reason if file else "no audio",
        )


def _find_columns(
    features: Mapping[str, Any], wanted: Columns, audio_type: type
) -> Columns:
    """Return the names of the columns of a data set. Only a missing speaker is "".

    Raises:
        RecipeError: If there is no such column.
    """
    with_audio = [name for name, kind in features.items() if isinstance(kind, audio_type)]
    found = {}
    for role, name in vars(wanted).items():
        names = (
            [name] if name else [*(with_audio if role == "audio" else ()), *COLUMNS[role]]
        )
        found[role] = next(filter(features.__contains__, names), "")
        if not found[role] and (name or role != "speaker"):
            columns = shorten(", ".join(features), 200) or "none"
            problem = f"no {role} column ({', '.join(names)})"
            raise RecipeError(f"{problem}. Pass {role}=COLUMN. Columns: {columns}.")
    return Columns(**found)


def _rows(dataset: str, table: Any) -> Iterator[Mapping[str, Any]]:
    with _explain_errors(dataset):
        yield from table


def _store(audio: Mapping[str, Any], folder: Path, *, is_local: bool) -> Path | None:
    """Return the file of a recording, or None without audio.

    Bytes are written unchanged, to a name that depends on them, unless this file exists. Files of a
    data set on this machine are not copied.
    """
    data, name = audio.get("bytes"), audio.get("path") or ""
    member, _, archive = name.partition("::")  # zip://a.wav::/folder/train.zip
    source = Path(member)
    if data is None and archive:
        with fsspec.open(name) as file:
            data = file.read()
    if data is None and not is_file(source):
        return None
    if data is None and is_local:
        return source
    if data is None:
        data = source.read_bytes()
    digest = hashlib.sha256(data).hexdigest()[:16]
    stem = UNSAFE.sub("_", source.stem)[:60]
    suffix = source.suffix.lower()
    if suffix not in EXTENSIONS:
        suffix = f".{sniff(data[:HEAD_SIZE])}".rstrip(".")
    target = folder / f"{stem}-{digest}{suffix}".removeprefix("-")
    if not target.exists():
        with atomic_write(target) as partial:
            partial.write_bytes(data)
    return target


def _to_text(value: Any, feature: Any) -> str:
    """Return a field as text, with the name of a class label."""
    if value is None:
        return ""
    is_label = hasattr(feature, "int2str")
    return str(feature.int2str(value) if is_label else value)


@contextmanager
def _explain_errors(dataset: str) -> Iterator[None]:
    """Convert the errors of the package `datasets`, which have many types, to RecipeError."""
    try:
        yield
    except Exception as error:
        reason = shorten(str(error) or type(error).__name__, 300).rstrip(".")
        fix = "Check its name, config=, and your connection."
        problem = f"dataset={dataset} cannot be read: {reason}"
        raise RecipeError(f"{problem}. {fix}") from None


if __name__ == "__main__":
    sys.exit(run_recipe(hf))
