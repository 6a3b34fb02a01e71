"""Test the recipe that writes shards and lists existing ones."""

import pytest

from asr import audio
from asr.config.app import run_recipe
from asr.data.manifest import read_manifest, write_manifest
from recipes.errors import RecipeError
from recipes.shard import shard


@pytest.fixture
def listed(utterances, tmp_path):
    write_manifest(tmp_path / "corpus" / "dev.jsonl", utterances)
    return tmp_path / "corpus" / "dev.jsonl"


def test_a_manifest_becomes_shuffled_shards_with_a_manifest(
    listed, utterances, tmp_path, capsys
):
    assert (
        run_recipe(
            shard, [f"manifest={listed}", f"out={tmp_path / 'out'}", f"hours={2 / 3600}"]
        )
        == 0
    )
    assert "6 utterances, 0.00 h in 3 shards, 0 left out" in capsys.readouterr().out
    found = read_manifest(tmp_path / "out" / "dev.jsonl")
    assert [u.text for u in found] != [u.text for u in utterances]
    assert sorted((u.text, len(audio.load(u.audio))) for u in found) == sorted(
        (u.text, len(audio.load(u.audio))) for u in utterances
    )


def test_existing_shards_on_a_disk_or_a_server_are_listed(listed, tmp_path, server, capsys):
    shard(manifest=listed, out=tmp_path / "out")
    tar = tmp_path / "out" / "dev-00000.tar"
    server.files["/dev-00000.tar"] = tar.read_bytes()
    expected = [
        (u.text, u.audio.offset, u.audio.size)
        for u in read_manifest(tmp_path / "out" / "dev.jsonl")
    ]
    for place in (tar, f"{server.url}/dev-00000.tar"):
        found = read_manifest(shard(tars=[str(place)], out=tmp_path / "listed", name="dev"))
        assert [(u.text, u.audio.offset, u.audio.size) for u in found] == expected
        assert [len(audio.load(u.audio)) for u in found] == [
            round(u.duration * 16_000) for u in found
        ]


def test_bad_input_is_one_line(listed, utterances, tmp_path, capsys):
    with pytest.raises(RecipeError, match="Pass manifest="):
        shard(out=tmp_path)
    with pytest.raises(RecipeError, match="hours must be > 0, got 0"):
        shard(manifest=listed, out=tmp_path, hours=0)
    assert run_recipe(shard, [f"tars={tmp_path / 'none.tar'}", f"out={tmp_path}"]) == 2
    assert "none.tar: cannot be read as a shard" in capsys.readouterr().err
    for utterance in utterances:
        utterance.audio.write_text("no sound")
    assert run_recipe(shard, [f"manifest={listed}", f"out={tmp_path / 'out'}"]) == 2
    assert "no usable clips" in capsys.readouterr().err
