"""Common Voice, LJ Speech, and VCTK on small trees in the layouts of their publishers."""

import io
import tarfile

import pytest

from recipes import ljspeech as lj
from recipes.commonvoice import commonvoice
from recipes.errors import RecipeError
from recipes.ljspeech import ljspeech
from recipes.vctk import vctk

COLUMNS = (
    "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale\tsegment"
)


def write_table(folder, part, *rows):
    """Write a table of Common Voice with (speaker, clip, sentence) rows."""
    lines = [f"{speaker}\t{clip}\t{text}\t2\t0\t\t\t\tcy\t" for speaker, clip, text in rows]
    (folder / f"{part}.tsv").write_text("\n".join([COLUMNS, *lines, ""]), encoding="utf-8")


@pytest.fixture
def release(tmp_path, tone):
    """Return the folder of a release of Common Voice in Welsh."""
    folder = tmp_path / "release" / "cv-corpus-17.0-2024-03-15" / "cy"
    (folder / "clips").mkdir(parents=True)
    for number in range(1, 8):
        tone(folder / "clips" / f"common_voice_cy_{number}.mp3", 0.5, 32_000)
    write_table(
        folder,
        "train",
        ("ann", "common_voice_cy_1.mp3", 'Dywedodd "ie'),
        ("bob", "common_voice_cy_2", "Bore da!"),
        ("bob", "common_voice_cy_9.mp3", "Ar goll."),
    )
    write_table(folder, "dev", ("cai", "common_voice_cy_3.mp3", "Nos da."))
    write_table(folder, "test", ("dai", "common_voice_cy_4.mp3", "Hwyl fawr."))
    write_table(
        folder,
        "other",
        ("eve", "common_voice_cy_5.mp3", "Iawn?"),
        ("dai", "common_voice_cy_6.mp3", "O'r gorau."),
    )
    return folder


def pack(folder, target):
    with tarfile.open(target, "w:gz") as archive:
        archive.add(folder, folder.name)
    return target


def test_an_archive_of_common_voice_becomes_manifests(release, tmp_path, manifest):
    archive = pack(release.parent, tmp_path / "cv-corpus-17.0-2024-03-15-cy.tar.gz")
    folder = commonvoice(archive=archive, root=tmp_path)
    train = manifest(tmp_path, "commonvoice", "train")
    assert [u.text for u in train] == ["dywedodd ie", "bore da"]
    assert [u.speaker for u in train] == ["ann", "bob"]
    assert abs(train[0].duration - 0.5) < 0.1
    assert [u.text for u in manifest(tmp_path, "commonvoice", "validation")] == ["nos da"]
    assert [u.text for u in manifest(tmp_path, "commonvoice", "test")] == ["hwyl fawr"]
    assert "common_voice_cy_9.mp3\tunreadable" in (folder / "left_out.txt").read_text()


def test_other_tables_of_common_voice_add_no_speaker_of_validation_and_test(
    release, tmp_path, manifest
):
    commonvoice(folder=release, train=["train", "other"], root=tmp_path, name="cv")
    assert {u.speaker for u in manifest(tmp_path, "cv", "train")} == {"ann", "bob", "eve"}


def test_an_incomplete_release_of_common_voice_is_refused(release, tmp_path):
    with pytest.raises(RecipeError, match="Pass archive=FILE"):
        commonvoice(root=tmp_path)
    with pytest.raises(RecipeError, match="no such file"):
        commonvoice(archive=tmp_path / "none.tar.gz", root=tmp_path)
    with pytest.raises(RecipeError, match=r"languages with a train\.tsv: none"):
        commonvoice(folder=release / "clips", root=tmp_path)
    (release / "test.tsv").write_text(f"{COLUMNS}\nann\n")
    with pytest.raises(
        RecipeError, match=r"test\.tsv, line 2: fewer fields than the header"
    ):
        commonvoice(folder=release, root=tmp_path)
    (release / "test.tsv").unlink()
    with pytest.raises(RecipeError, match=r"test\.tsv cannot be read"):
        commonvoice(folder=release, root=tmp_path)


def test_lj_speech_is_downloaded_and_split(tmp_path, tone, server, manifest, monkeypatch):
    packed = tmp_path / "packed" / "LJSpeech-1.1"
    names = [f"LJ001-{i:04}" for i in range(80)]
    for name in names:
        tone(packed / "wavs" / f"{name}.wav", 0.2, 22_050)
    lines = [f'{name}|Nr. 3 "yes|number three "yes' for name in names]
    (packed / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:bz2") as archive:
        archive.add(packed, packed.name)
    server.files["/LJSpeech-1.1.tar.bz2"] = file.getvalue()
    with pytest.raises(RecipeError, match="wrong sha256 checksum"):
        ljspeech(root=tmp_path / "data", url=server.url)
    (tmp_path / "data" / "LJSpeech-1.1.tar.bz2").unlink()
    monkeypatch.setattr(lj, "CHECKSUM", None)
    ljspeech(root=tmp_path / "data", url=server.url)
    splits = [
        manifest(tmp_path / "data", "ljspeech", split)
        for split in ("train", "validation", "test")
    ]
    assert [len(split) for split in splits] == [76, 2, 2]
    assert {u.text for split in splits for u in split} == {"number three yes"}


def test_a_broken_table_of_lj_speech_names_the_line(tmp_path):
    tree = tmp_path / "LJSpeech-1.1"
    tree.mkdir()
    (tree / "metadata.csv").write_text("a|b|c\na|b\n")
    with pytest.raises(RecipeError, match="line 2: 2 fields instead of 3"):
        ljspeech(root=tmp_path)


def test_vctk_is_split_by_speaker(tmp_path, tone, manifest):
    tree = tmp_path / "VCTK-Corpus-0.92"
    for speaker in ("p225", "p226", "p227", "p228", "p315", "s5"):
        for number in ("001", "002"):
            for microphone in "12":
                name = f"{speaker}_{number}_mic{microphone}.flac"
                tone(tree / "wav48_silence_trimmed" / speaker / name, 0.2, 48_000)
            if speaker != "p315":
                text = tree / "txt" / speaker / f"{speaker}_{number}.txt"
                text.parent.mkdir(parents=True, exist_ok=True)
                text.write_text("Please call Stella.\n")
    folder = vctk(root=tmp_path, validation_speakers=1, test_speakers=2, microphone="2")
    splits = {
        split: manifest(tmp_path, "vctk", split)
        for split in ("train", "validation", "test")
    }
    speakers = [{u.speaker for u in split} for split in splits.values()]
    assert len(set.union(*speakers)) == sum(map(len, speakers)) >= 4
    assert {u.text for split in splits.values() for u in split} == {"please call stella"}
    assert all(u.audio.stem.endswith("mic2") for split in splits.values() for u in split)
    assert (folder / "left_out.txt").read_text().count("no transcript") == 2
    with pytest.raises(RecipeError, match="test_speakers must be at least 0 and below 6"):
        vctk(root=tmp_path, test_speakers=6)


def test_vctk_without_recordings_is_refused(tmp_path):
    (tmp_path / "VCTK-Corpus-0.92").mkdir()
    with pytest.raises(RecipeError, match="has no recordings"):
        vctk(root=tmp_path)
