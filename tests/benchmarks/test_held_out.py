"""Held-out sets: which speech they contain, and the labels of the speakers."""

from pathlib import Path

import pytest

from asr.errors import ConfigError

TABLE = (
    "path\tspeaker\ttext\na.wav\tknown\tyes\nb.wav\tnew\tDr. Who\nc.wav\tnew\tat 10 a.m.\n"
)


@pytest.fixture
def table(tmp_path, recording):
    """Return a table of a speaker in training and of a new one."""
    for name in "abc":
        recording(f"voices/{name}.wav", 0.3)
    (tmp_path / "voices" / "index.tsv").write_text(TABLE)
    return tmp_path / "voices" / "index.tsv"


@pytest.fixture
def held_out(script):
    return script("held_out")


def test_sets_without_a_manifest_are_left_out_with_a_message(held_out, root, capsys):
    names = [s.name for s in held_out.read_sets(root, [])]
    assert names == ["LibriSpeech", "speechocean762", "AN4"]
    assert "left out: Speech Commands" in capsys.readouterr().err


def test_the_share_of_texts_in_training_counts_the_whole_set(held_out, root):
    sets = {s.name: s for s in held_out.read_sets(root, [], limit=1)}
    assert sets["AN4"].known_texts == pytest.approx(1 / 3)
    assert len(sets["AN4"].utterances) == 1


def test_a_folder_without_sets_is_an_error(held_out, tmp_path):
    with pytest.raises(ConfigError, match="no test manifest"):
        held_out.read_sets(tmp_path, [])


def test_the_limit_takes_the_same_utterances_from_any_folder_and_order(held_out, root):
    (first,) = (s for s in held_out.read_sets(root, []) if s.name == "AN4")
    chosen = held_out.choose_first(first.utterances[::-1], 2)
    assert chosen == held_out.choose_first(first.utterances, 2)
    assert len(chosen) == 2


def test_speakers_get_the_labels_that_their_corpus_publishes(held_out, root):
    (root / "LibriSpeech").mkdir()
    readers = (
        ";ID |SEX| SUBSET\n7   | F | dev-clean | 8.1 | A\n8   | M | dev-clean | 8.1 | B\n"
    )
    (root / "LibriSpeech" / "SPEAKERS.TXT").write_text(readers)
    folder = root / "speechocean762" / "test"
    folder.mkdir(parents=True)
    (folder / "spk2age").write_text("0001\t6\n0002\t16\n")
    (folder / "spk2gender").write_text("0001\tf\n0002\tm\n")
    labels = {s.name: s.labels for s in held_out.read_sets(root, [])}
    genders = {"librispeech-7": "female", "librispeech-8": "male"}
    assert labels["LibriSpeech"]["gender"] == genders
    assert labels["AN4"]["gender"] == {"fghi": "female", "mjkl": "male"}
    ages = {"0001": "below 16 years", "0002": "16 years or older"}
    assert labels["speechocean762"]["age"] == ages
    assert labels["speechocean762"]["gender"] == {"0001": "female", "0002": "male"}
    assert labels["speechocean762"]["accent"]["0002"] == "Mandarin"


def test_a_table_gives_the_clear_texts_of_new_speakers(held_out, root, table, capsys):
    *_, voices = held_out.read_sets(root, [table])
    assert not capsys.readouterr().out
    assert voices.name == "voices, new"
    assert [u.text for u in voices.utterances] == ["doctor who"]


def test_a_table_of_known_speakers_is_an_error(held_out, root, table: Path):
    table.write_text("\n".join(TABLE.splitlines()[:2]))
    with pytest.raises(ConfigError, match="all its speakers are in training"):
        held_out.read_sets(root, [table])
