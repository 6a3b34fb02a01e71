"""Hugging Face data sets: by name with a stand-in for the package, and real ones on disk."""

import shutil
import sys
from types import ModuleType

import pytest

from asr import audio
from recipes.errors import RecipeError
from recipes.hf import hf


class Audio:
    """Stand-in for the type of a column with audio."""

    def __init__(self, *, decode=True):
        self.decode = decode

    def encode_example(self, value):
        raise ImportError("torchcodec")


class Table(list):
    """Stand-in for a split: a list of rows."""

    @property
    def features(self):
        return {"audio": Audio(), "sentence": None, "client_id": None, "other": None}

    def select_columns(self, names):
        return Table({name: row[name] for name in names} for row in self)

    def cast_column(self, name, kind):
        assert (name, kind.decode) == ("audio", False)
        return self


@pytest.fixture
def hub(monkeypatch):
    """Return the splits of the data set owner/name on a Hub without a network."""
    splits, package = {}, ModuleType("datasets")

    def load_dataset(name, config):
        if (name, config) != ("owner/name", "cy"):
            raise ConnectionError(f"Couldn't reach {name!r}\non the Hub")
        return splits

    package.Audio, package.load_dataset = Audio, load_dataset
    package.disable_progress_bars = lambda: None
    monkeypatch.setitem(sys.modules, "datasets", package)
    return splits


@pytest.fixture
def rows(tmp_path, tone):
    """Return make(count), which returns rows with different recordings and speakers."""

    def make(count, *, path="clips/a b.mp3"):
        files = [tone(tmp_path / f"{i}.flac", 0.1 + 0.01 * i) for i in range(count)]
        return [
            {
                "audio": {"bytes": file.read_bytes(), "path": path},
                "sentence": f"Yes {i}",
                "client_id": i,
                "other": None,
            }
            for i, file in enumerate(files)
        ]

    return make


def prepare(root, **options):
    return hf(dataset="owner/name", config="cy", root=root, **options)


def test_a_data_set_of_the_hub_becomes_files_and_manifests(hub, rows, tmp_path, manifest):
    hub |= {"train": Table(rows(3)), "dev": Table(rows(1)), "test": Table(rows(2))}
    prepare(tmp_path)
    train = manifest(tmp_path, "hf", "train")
    assert [(u.text, u.speaker) for u in train] == [(f"yes {i}", str(i)) for i in range(3)]
    assert len(manifest(tmp_path, "hf", "validation")) == 1
    for utterance, row in zip(train, hub["train"], strict=True):
        assert utterance.audio.read_bytes() == row["audio"]["bytes"]
        assert utterance.audio.parent.resolve() == tmp_path / "hf" / "train"
        assert utterance.audio.name.startswith("a_b-")
        assert utterance.audio.suffix == ".mp3"


def test_a_name_without_an_extension_gets_that_of_the_content(
    hub, rows, tmp_path, manifest
):
    hub["test"] = Table(rows(1, path=None))
    prepare(tmp_path)
    (utterance,) = manifest(tmp_path, "hf", "test")
    assert utterance.audio.suffix == ".flac"
    assert audio.info(utterance.audio).channels == 1


def test_an_interrupted_run_resumes_and_writes_each_file_once(
    hub, rows, tmp_path, manifest
):
    class Broken(Table):
        def __iter__(self):
            yield self[0]
            raise OSError("the connection dropped")

        def select_columns(self, names):
            return self

    hub["test"] = Broken(rows(2))
    with pytest.raises(
        RecipeError, match="owner/name cannot be read: the connection dropped"
    ):
        prepare(tmp_path)
    (first,) = (tmp_path / "hf" / "test").iterdir()
    date = first.stat().st_mtime_ns
    hub["test"] = Table(hub["test"][:] * 2)
    prepare(tmp_path)
    assert first.stat().st_mtime_ns == date
    assert len(manifest(tmp_path, "hf", "test")) == 4
    assert len(list((tmp_path / "hf" / "test").iterdir())) == 2


def test_missing_splits_are_taken_from_train_by_speaker(hub, rows, tmp_path, manifest):
    hub["train"] = Table(rows(20))
    prepare(tmp_path)
    sizes = [len(manifest(tmp_path, "hf", s)) for s in ("train", "validation", "test")]
    assert sizes == [18, 1, 1]


def test_splits_and_columns_can_be_chosen(hub, rows, tmp_path, manifest):
    hub |= {"train.a": Table(rows(1)), "train.b": Table(rows(2)), "test.c": Table(rows(1))}
    columns = {"text": "client_id", "speaker": "sentence"}
    prepare(
        tmp_path, train=["train.a", "train.b"], test_share=0, validation_share=0, **columns
    )
    train = manifest(tmp_path, "hf", "train")
    assert [(u.text, u.speaker) for u in train][1:] == [("0", "Yes 0"), ("1", "Yes 1")]
    for options, message in (
        (
            {"train": ["all"]},
            "train: no split all. Splits of this data set: train.a, train.b",
        ),
        ({}, r"no split train\. Pass train=\[NAME\]"),
        (
            {"test": ["test.c"], "text": "words"},
            r"no text column \(words\)\. Pass text=COL",
        ),
    ):
        with pytest.raises(RecipeError, match=message):
            prepare(tmp_path, **options)


def test_rows_without_audio_or_text_are_listed(hub, rows, tmp_path, manifest):
    table = Table(rows(4))
    table[0]["audio"] = None
    table[1]["audio"] = {"bytes": None, "path": "gone.wav"}
    table[2]["sentence"] = None
    hub["test"] = table
    folder = prepare(tmp_path)
    assert [u.text for u in manifest(tmp_path, "hf", "test")] == ["yes 3"]
    lines = (folder / "left_out.txt").read_text().splitlines()
    reasons = [line.split("\t")[2] for line in lines]
    assert reasons == ["no audio", "no audio", "no transcript"]


def test_what_cannot_be_loaded_is_refused_in_one_line(hub, tmp_path, monkeypatch):
    for dataset, message in (
        (None, "Pass dataset=NAME"),
        ("owner/other", "other cannot be read: Couldn't reach 'owner/other' on the Hub"),
        (str(tmp_path / "none"), "no such file or folder"),
        ("clips.parquet", "no such file or folder"),
    ):
        with pytest.raises(RecipeError, match=message) as error:
            hf(dataset=dataset, root=tmp_path)
        assert "\n" not in str(error.value)
    with pytest.raises(RecipeError, match="test_share must be >= 0, got -1"):
        hf(dataset="owner/name", test_share=-1)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(RecipeError, match=r"Run pip install 'asr\[hf\]'"):
        hf(dataset="owner/name", root=tmp_path)


@pytest.fixture
def datasets(monkeypatch, tmp_path):
    """Return the real package, with its cache in the folder of the test."""
    package = pytest.importorskip("datasets", reason="needs pip install 'asr[hf]'")
    monkeypatch.setattr(package.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(package.Audio, "encode_example", package.Audio.encode_example)
    return package


@pytest.fixture
def real(datasets, rows):
    """Return a data set of three rows whose audio is inside it."""
    columns = {key: [row[key] for row in rows(3)] for key in ("audio", "sentence")}
    table = datasets.Dataset.from_dict(columns)
    return table.cast_column("audio", datasets.Audio(decode=False))


@pytest.mark.parametrize("kind", ["table", "splits", "folder", "file"])
def test_saved_data_sets_and_parquet_files_are_read(
    datasets, real, rows, tmp_path, manifest, kind
):
    path = tmp_path / "saved"
    if kind == "table":
        real.save_to_disk(path)
    elif kind == "splits":
        datasets.DatasetDict(train=real, validation=real).save_to_disk(path)
    elif kind == "folder":
        real.to_parquet(path / "train-00000-of-00001.parquet")
    else:
        path = path.with_suffix(".parquet")
        real.to_parquet(path)
    hf(dataset=str(path), root=tmp_path, validation_share=0, test_share=0)
    train = manifest(tmp_path, "hf", "train")
    assert [u.text for u in train] == ["yes 0", "yes 1", "yes 2"]
    expected = [row["audio"]["bytes"] for row in rows(3)]
    assert [u.audio.read_bytes() for u in train] == expected
    validation = tmp_path / "manifests" / "hf" / "validation.jsonl"
    assert validation.exists() == (kind == "splits")


def test_an_audio_folder_stays_where_it_is(datasets, tmp_path, tone, manifest):
    own = tmp_path / "own" / "train"
    tone(own / "a.wav")
    tone(own / "more" / "b.flac")
    table = "file_name,transcription,speaker_id\na.wav,Hello,1\nmore/b.flac,Bye,2\n"
    (own / "metadata.csv").write_text(table)
    hf(dataset=str(own.parent), root=tmp_path, validation_share=0, test_share=0)
    first, second = manifest(tmp_path, "hf", "train")
    assert (first.text, first.speaker) == ("hello", "1")
    assert second.audio.resolve() == own / "more" / "b.flac"
    assert not (tmp_path / "hf").exists()


def test_recordings_in_an_archive_become_files_of_the_corpus(
    datasets, tmp_path, tone, manifest
):
    tone(tmp_path / "clips" / "a.wav")
    (tmp_path / "clips" / "metadata.csv").write_text("file_name,text\na.wav,Hello\n")
    (tmp_path / "own").mkdir()
    shutil.make_archive(str(tmp_path / "own" / "train"), "zip", tmp_path / "clips")
    hf(dataset=str(tmp_path / "own"), root=tmp_path, validation_share=0, test_share=0)
    (utterance,) = manifest(tmp_path, "hf", "train")
    assert utterance.text == "hello"
    assert utterance.audio.resolve().is_relative_to(tmp_path / "hf")


def test_labels_of_classes_are_transcripts(datasets, real, tmp_path, manifest):
    table = real.add_column("label", [1, 0, 1])
    table = table.cast_column("label", datasets.ClassLabel(names=["no", "yes"]))
    table.save_to_disk(tmp_path / "saved")
    options = {"text": "label", "validation_share": 0, "test_share": 0}
    hf(dataset=str(tmp_path / "saved"), root=tmp_path, **options)
    assert [u.text for u in manifest(tmp_path, "hf", "train")] == ["yes", "no", "yes"]
