"""Test the Kaldi tables, the validation speakers, and the download of speechocean762."""

import tarfile

import pytest

from recipes.speechocean762 import speechocean762


@pytest.fixture
def tree(tmp_path, tone):
    folder = tmp_path / "packed" / "speechocean762"
    for part, speakers in (("train", ("0001", "0003", "0005")), ("test", ("0112",))):
        tables = {"wav.scp": "", "text": "", "utt2spk": ""}
        for speaker in speakers:
            for i in (1, 2):
                name = f"0{speaker}000{i}"
                tone(folder / "WAVE" / f"SPEAKER{speaker}" / f"{name}.WAV", format="WAV")
                tables["wav.scp"] += f"{name}\tWAVE/SPEAKER{speaker}/{name}.WAV\n"
                tables["text"] += f"{name}\tMARK IS GOING TO SEE  ELEPHANT\n"
                tables["utt2spk"] += f"{name}\t{speaker}\n"
        (folder / part).mkdir()
        for name, lines in tables.items():
            (folder / part / name).write_text(lines)
    return folder


@pytest.fixture
def root(tree, tmp_path):
    (tmp_path / "speechocean762").symlink_to(tree)
    return tmp_path


def test_tables_become_manifests_and_training_speakers_are_held_out(root, manifest):
    speechocean762(root=root, validation_speakers=1)
    train, validation, test = (
        manifest(root, "speechocean762", s) for s in ("train", "validation", "test")
    )
    assert [len(train), len(validation), len(test)] == [4, 2, 2]
    assert {u.speaker for u in train} | {u.speaker for u in validation} == {
        "0001",
        "0003",
        "0005",
    }
    assert {u.speaker for u in test} == {"0112"}
    assert {u.text for u in test} == {"mark is going to see elephant"}


def test_left_out_list_names_an_utterance_without_transcript(root, manifest):
    text = root / "speechocean762" / "train" / "text"
    text.write_text("\n".join(text.read_text().splitlines()[1:]))
    folder = speechocean762(root=root, validation_speakers=0)
    assert len(manifest(root, "speechocean762", "train")) == 5
    assert "000010001.WAV\tempty transcript" in (folder / "left_out.txt").read_text()


def test_the_corpus_is_downloaded_and_extracted_once(tree, tmp_path, server, manifest):
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz") as out:
        out.add(tree, "speechocean762")
    server.files["/101/speechocean762.tar.gz"] = (tmp_path / "packed.tar.gz").read_bytes()
    for again in (False, False, True):
        speechocean762(
            root=tmp_path / "data",
            url=f"{server.url}/101",
            validation_speakers=1,
            again=again,
        )
    assert len(server.asked) == 1
    assert len(manifest(tmp_path / "data", "speechocean762", "test")) == 2


def test_the_real_corpus_is_split_by_speaker(shared, manifest):
    root = shared("speechocean762")
    speechocean762(root=root)
    train, validation, test = (
        manifest(root, "speechocean762", s) for s in ("train", "validation", "test")
    )
    assert [len(train), len(validation), len(test)] == [2300, 200, 500]
    speakers = [{u.speaker for u in split} for split in (train, validation, test)]
    assert len(set.union(*speakers)) == sum(map(len, speakers)) == 150
