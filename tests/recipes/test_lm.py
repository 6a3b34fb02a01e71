"""Test language models from texts and manifests, and the download of LibriSpeech's models."""

import gzip
import hashlib
import json

import pytest

from asr.config.app import run_recipe
from recipes import lm as recipe
from recipes.lm import lm

TEXT = "The cat sat.\nThe dog sat, too!\n\nA cat's dog\n" * 10
ARPA = "\\data\\\nngram 1=3\n\n\\1-grams:\n-1e-7\t<UNK>\n-99\t<s>\n-0.5\tTHE\n\n\\end\\\n"


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "some.text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def unigrams(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    section = lines[lines.index("\\1-grams:") + 1 :]
    return {line.split("\t")[1] for line in section[: section.index("")]}


def test_a_text_becomes_an_arpa_file_of_normalized_words_a_lexicon_and_a_table(
    text, tmp_path, capsys
):
    path = lm(text=[str(text)], order=3, root=tmp_path)
    assert path == tmp_path / "lm" / "some.arpa"
    assert unigrams(path) == {
        "<unk>",
        "<s>",
        "</s>",
        "the",
        "cat",
        "sat",
        "dog",
        "too",
        "a",
        "cat's",
    }
    assert (tmp_path / "lm" / "some.words").read_text().split() == sorted(
        unigrams(path) - {"<unk>", "<s>", "</s>"}
    )
    output = " ".join(capsys.readouterr().out.split())
    assert "30, 100" in output
    assert "perplexity (1 in 20)" in output


def test_a_compressed_model_of_the_most_frequent_words(text, tmp_path):
    path = lm(text=[text], order=2, vocabulary=3, compress=True, root=tmp_path)
    assert path == tmp_path / "lm" / "some.arpa.gz"
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    assert unigrams(path.with_suffix("")) == {"<unk>", "<s>", "</s>", "the", "sat", "dog"}
    assert (tmp_path / "lm" / "some.words").read_text().split() == ["dog", "sat", "the"]


def test_compressed_texts_and_manifests_give_the_same_model(text, tmp_path):
    packed, manifest = tmp_path / "packed.txt.gz", tmp_path / "train.jsonl"
    packed.write_bytes(gzip.compress(TEXT.encode()))
    entries = [
        {"audio_filepath": "a.wav", "duration": 1.0, "text": line}
        for line in TEXT.splitlines()
        if line
    ]
    manifest.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    paths = [lm(text=[str(source)], root=tmp_path) for source in (text, packed, manifest)]
    assert len({path.read_text() for path in paths}) == 1
    assert len(set(paths)) == 3


def test_perplexity_is_measured_on_held_out_text(text, tmp_path, capsys):
    (tmp_path / "other.txt").write_text("the cat the zebra\n")
    lm(text=[str(text)], held_out=[str(tmp_path / "other.txt")], root=tmp_path)
    assert "unknown words (held_out) 25.00%" in " ".join(capsys.readouterr().out.split())


def test_a_character_model_writes_a_space_as_a_bar(text, tmp_path):
    path = lm(text=[str(text)], unit="characters", root=tmp_path, name="letters")
    assert path.name == "letters.arpa"
    assert unigrams(path) == {"<unk>", "<s>", "</s>", "|", *"thecasdgo'"}
    assert not path.with_suffix(".words").exists()


def test_published_models_are_downloaded_verified_and_converted_to_lower_case(
    server, tmp_path, monkeypatch
):
    packed = gzip.compress(ARPA.encode())
    server.files["/4-gram.arpa.gz"] = packed
    monkeypatch.setitem(
        recipe.PUBLISHED, "4-gram", "sha256:" + hashlib.sha256(packed).hexdigest()
    )
    path = lm(fetch="4-gram", root=tmp_path, url=server.url)
    assert path.read_text() == ARPA.lower()
    before = path.stat().st_mtime_ns
    assert lm(fetch="4-gram", root=tmp_path, url=server.url) == path
    assert path.stat().st_mtime_ns == before


def test_a_file_with_a_wrong_checksum_is_refused(server, tmp_path, capsys):
    server.files["/3-gram.arpa.gz"] = gzip.compress(ARPA.encode())
    assert run_recipe(lm, ["fetch=3-gram", f"root={tmp_path}", f"url={server.url}"]) == 2
    assert "wrong sha256 checksum" in capsys.readouterr().err
    assert not (tmp_path / "lm").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Pass text=FILE"),
        (["text=x.txt", "fetch=4-gram"], "Pass text=FILE"),
        (["text=missing.txt"], "missing.txt: not a readable UTF-8 text: No such file"),
        (["text=empty.txt"], "The text has no words"),
        (["text=cut.txt.gz"], "cut.txt.gz is damaged or incomplete"),
        (["text=latin.txt"], "latin.txt: not a readable UTF-8 text"),
        (["text=good.txt", "prune=[0,some]"], "prune must be a list of integers"),
        (["text=good.txt", "prune=[0,2,1]"], "do not decrease"),
        (["text=good.txt", "prune=[2,1]"], "do not decrease"),
        (["text=good.txt", "held_out=missing.txt"], "missing.txt: not a readable UTF-8"),
        (["text=good.txt", "name=../.."], "name must consist of letters, digits"),
        (["text=good.txt", "order=0"], "order must be >= 1, got 0"),
        (["text=good.txt", "fetch=5-gram"], "must be one of 3-gram"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.txt").write_text("a b\n")
    (tmp_path / "empty.txt").write_text("!\n")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(TEXT.encode())[:-12])
    assert run_recipe(lm, arguments) == 2
    output = capsys.readouterr().err
    assert message in output
    assert output.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_symbols_are_dropped_and_counted(tmp_path, capsys):
    (tmp_path / "t.txt").write_text("AT&T rose 5%\nit fell & fell\n" * 3)
    target = lm(text=[str(tmp_path / "t.txt")], root=tmp_path, order=2)
    words = target.with_suffix(".words").read_text().split()
    assert words == ["5", "at", "fell", "it", "rose", "t"]
    assert "symbols that are dropped: & x6, % x3" in capsys.readouterr().err
