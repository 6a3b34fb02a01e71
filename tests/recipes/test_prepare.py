"""Test manifests, the list of unusable recordings, and the choice of speakers."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.errors import RecipeError
from recipes.prepare import (
    Recording,
    choose_speakers,
    hold_out,
    prepare,
    sort_by_hash,
    split_by_speaker,
)


def test_a_manifest_has_duration_normalized_text_speaker_and_a_relative_path(
    tmp_path, tone, manifest
):
    wav = tone(tmp_path / "corpus" / "a.wav", 0.5, rate=8000)
    recordings = [Recording(wav, " Hello,  WORLD ", "ann")]
    folder = prepare("mine", lambda: {"train": recordings}, root=tmp_path, again=False)
    (utterance,) = manifest(tmp_path, "mine", "train")
    assert (utterance.duration, utterance.text, utterance.speaker) == (
        0.5,
        "hello world",
        "ann",
    )
    assert "../../corpus/a.wav" in (folder / "train.jsonl").read_text()


def test_unusable_recordings_are_counted_in_the_table_and_listed_with_the_reason(
    tmp_path, tone, manifest, capsys
):
    good = tone(tmp_path / "good.wav")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "noise.wav").write_text("not audio")
    recordings = [
        Recording(good, "yes"),
        Recording(good, "..."),
        Recording(good, ""),
        Recording(good, "late", offset=5.0),
        Recording(good, "long", duration=5.0),
        Recording(good, "twice", skip_reason="duplicate"),
        *(
            Recording(tmp_path / name, "yes")
            for name in ("empty.wav", "noise.wav", "missing.wav")
        ),
    ]
    folder = prepare("mine", lambda: {"train": recordings}, root=tmp_path, again=False)
    assert [utterance.text for utterance in manifest(tmp_path, "mine", "train")] == ["yes"]
    lines = [
        line.split("\t") for line in (folder / "left_out.txt").read_text().splitlines()
    ]
    assert [Path(path).name for _, path, _ in lines] == [
        recording.audio.name for recording in recordings[1:]
    ]
    reasons = [why for *_, why in lines]
    assert reasons[:2] == ["empty transcript: '...'", "empty transcript"]
    assert reasons[2] == "outside of the recording: 5.00 s to 0.10 s of 0.10 s"
    assert reasons[4:6] == ["duplicate", "unreadable: empty file (0 bytes)"]
    table = capsys.readouterr().out
    for count in (
        "2 empty transcript",
        "2 outside of the recording",
        "1 duplicate",
        "3 unreadable",
    ):
        assert count in " ".join(table.split())


def test_intended_silence_is_kept_with_an_empty_transcript(tmp_path, tone, manifest):
    piece = Recording(
        tone(tmp_path / "a.wav", 1.0), "", offset=0.25, duration=0.5, silent=True
    )
    prepare("mine", lambda: {"train": [piece]}, root=tmp_path, again=False)
    (utterance,) = manifest(tmp_path, "mine", "train")
    assert (utterance.text, utterance.offset, utterance.duration) == ("", 0.25, 0.5)


def test_a_split_without_usable_recordings_is_an_error_that_names_the_list(tmp_path):
    recordings = [Recording(tmp_path / "missing.wav", "yes")]
    with pytest.raises(
        RecipeError, match=r"train: no usable recordings among 1. See .*left_out.txt"
    ):
        prepare("mine", lambda: {"train": recordings}, root=tmp_path, again=False)
    with pytest.raises(
        RecipeError, match=r"train: no usable recordings among 0\. Is the corpus complete"
    ):
        prepare("mine", lambda: {"train": []}, root=tmp_path, again=False)


def test_a_second_run_with_the_same_options_only_prints_the_table(tmp_path, tone, capsys):
    recordings, calls = [Recording(tone(tmp_path / "a.wav"), "yes")], []

    def splits():
        calls.append(1)
        return {"train": recordings}

    def run(**options):
        prepare(
            "mine", splits, root=tmp_path, **{"again": False, "parts": ("a", "b")} | options
        )
        return capsys.readouterr()

    first, second = run(), run()
    assert first.out == second.out
    assert "is up to date" in second.err
    assert len(calls) == 1
    run(parts=["a"])
    assert len(calls) == 2
    run(parts=["a"], again=True)
    assert len(calls) == 3
    (tmp_path / "manifests" / "mine" / "train.jsonl").unlink()
    run(parts=["a"])
    assert len(calls) == 4


def test_a_run_with_other_options_removes_old_manifests(tmp_path, tone):
    recording = Recording(tone(tmp_path / "a.wav"), "yes")
    prepare(
        "mine",
        lambda: {"train": [recording], "validation": [recording]},
        root=tmp_path,
        again=False,
        n=1,
    )
    folder = prepare(
        "mine", lambda: {"train": [recording]}, root=tmp_path, again=False, n=0
    )
    assert sorted(path.name for path in folder.iterdir()) == [
        "prepared.json",
        "train.jsonl",
    ]


def test_a_run_after_a_failed_one_removes_old_manifests(tmp_path, tone):
    recording = Recording(tone(tmp_path / "a.wav"), "yes")
    for split in ("train", "validation"):
        folder = prepare("mine", lambda: {split: [recording]}, root=tmp_path, again=True)  # noqa: B023
        with pytest.raises(RecipeError):
            prepare("mine", lambda: {"test": []}, root=tmp_path, again=True)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["prepared.json", "validation.jsonl"]


def test_a_run_without_unusable_recordings_removes_the_old_list(tmp_path, tone):
    wav = tmp_path / "a.wav"
    both = [Recording(tone(tmp_path / "b.wav"), "yes"), Recording(wav, "no")]
    folder = prepare("mine", lambda: {"train": both}, root=tmp_path, again=False)
    assert (folder / "left_out.txt").exists()
    tone(wav)
    prepare("mine", lambda: {"train": both}, root=tmp_path, again=True)
    assert not (folder / "left_out.txt").exists()


def test_an_interrupted_run_is_repeated(tmp_path, tone, monkeypatch):
    recordings = {"train": [Recording(tone(tmp_path / "a.wav"), "yes")]}
    prepare("mine", lambda: recordings, root=tmp_path, again=False)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(
            "recipes.prepare.write_manifest",
            lambda *_: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        prepare("mine", lambda: recordings, root=tmp_path, again=True)
    calls = []
    prepare("mine", lambda: calls.append(1) or recordings, root=tmp_path, again=False)
    assert calls


speakers = st.lists(
    st.text("fmabc", min_size=1, max_size=4), unique=True, min_size=2, max_size=12
)


@given(speakers, st.data())
def test_chosen_speakers_are_balanced_and_do_not_depend_on_the_order(names, data):
    count = data.draw(st.integers(0, len(names) - 1))
    recordings = [Recording(Path(f"{name}.wav"), "", speaker=name) for name in names]
    chosen = choose_speakers(recordings, count, group=lambda name: name[0])
    assert len(chosen) == count
    assert chosen == choose_speakers(
        reversed(recordings), count, group=lambda name: name[0]
    )
    numbers = {g: sum(name[0] == g for name in chosen) for g in {name[0] for name in names}}
    available = {g: sum(name[0] == g for name in names) for g in numbers}
    open_groups = [numbers[g] for g in numbers if numbers[g] < available[g]]
    assert all(numbers[g] <= min(open_groups, default=len(names)) + 1 for g in numbers)


def test_all_speakers_or_a_negative_number_cannot_be_chosen():
    recordings = [Recording(Path("a.wav"), "", speaker=name) for name in "ab"]
    for count in (2, -1):
        with pytest.raises(
            RecipeError, match=f"validation_speakers must be .* below 2, .*got {count}"
        ):
            choose_speakers(recordings, count)


def test_held_out_speakers_are_only_in_validation():
    recordings = [Recording(Path("x.wav"), "", speaker=name) for name in "abab"]
    splits = hold_out(recordings, {"b"})
    assert [recording.speaker for recording in splits["train"]] == ["a", "a"]
    assert [recording.speaker for recording in splits["validation"]] == ["b", "b"]
    assert hold_out(recordings, set()) == {"train": recordings}
    assert split_by_speaker(recordings, {"z"}) == (recordings, [])


@given(st.lists(st.text("abc", max_size=3)))
def test_the_order_by_hash_depends_only_on_the_items(items):
    assert sort_by_hash(items) == sort_by_hash(list(reversed(items)))
    assert sorted(sort_by_hash(items)) == sorted(items)


def test_the_order_by_hash_is_the_same_on_every_machine():
    assert sort_by_hash(["fash", "fbbh", "fclc", "fejs", "mblb"]) == [
        "fbbh",
        "fejs",
        "fash",
        "fclc",
        "mblb",
    ]
