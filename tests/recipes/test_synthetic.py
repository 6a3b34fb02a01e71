"""Test that the built-in corpus is reproducible and that its splits are separate."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr import audio
from asr.data.manifest import Utterance, read_manifest
from asr.text import Tokenizer, normalize
from recipes import espeak, synthesis, synthetic
from recipes.errors import RecipeError

HOURS = 0.0056  # 7 utterances for train, 1 for validation, 1 for test
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    synthetic.synthetic(root=root, hours=HOURS, workers=1)
    return root


@pytest.fixture(scope="module")
def plan() -> dict[str, list[synthetic.Prompt]]:
    return synthetic.plan(hours=1.0, seed=0)


def utterances(root: Path) -> list[Utterance]:
    return [
        u
        for split in SPLITS
        for u in read_manifest(root / "manifests" / "synthetic" / f"{split}.jsonl")
    ]


def contents(root: Path) -> dict[str, bytes]:
    files = [*(root / "synthetic").rglob("*.flac"), *(root / "manifests").rglob("*.jsonl")]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_the_number_of_workers_does_not_change_any_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(synthesis, "BATCH", 4)
    for workers in (1, 3):
        synthetic.synthetic(root=tmp_path / str(workers), hours=HOURS, workers=workers)
    one, three = contents(tmp_path / "1"), contents(tmp_path / "3")
    assert len(one) == 12
    assert one == three


def test_another_seed_replaces_the_corpus_by_another_one(root, tmp_path):
    synthetic.synthetic(root=tmp_path, hours=HOURS / 2, seed=1)
    first = {u.text for u in utterances(tmp_path)}
    synthetic.synthetic(root=tmp_path, hours=HOURS / 2, seed=2)
    assert {u.text for u in utterances(tmp_path)} != first
    assert {u.audio.resolve() for u in utterances(tmp_path)} == {
        path.resolve() for path in (tmp_path / "synthetic").rglob("*.flac")
    }


def test_a_second_run_changes_nothing(root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert synthetic.prepare(root=root, hours=HOURS) == root / "manifests" / "synthetic"
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_an_interrupted_run_is_repeated(root, tmp_path, monkeypatch):
    synthetic.synthetic(root=tmp_path, hours=HOURS)
    complete = contents(tmp_path)
    monkeypatch.setattr(
        synthesis,
        "_synthesize_batch",
        lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt),
    )
    with pytest.raises(KeyboardInterrupt):
        synthetic.synthetic(root=tmp_path, hours=HOURS, again=True)
    assert contents(tmp_path) == {}
    monkeypatch.undo()
    synthetic.synthetic(root=tmp_path, hours=HOURS)
    assert contents(tmp_path) == complete


def test_a_missing_recording_is_replaced(tmp_path):
    synthetic.synthetic(root=tmp_path, hours=HOURS / 2)
    complete = contents(tmp_path)
    next((tmp_path / "synthetic" / "test").rglob("*.flac")).unlink()
    synthetic.synthetic(root=tmp_path, hours=HOURS / 2)
    assert contents(tmp_path) == complete


def test_recordings_are_16_bit_16_khz_audible_unclipped_and_match_the_manifest(root):
    for utterance in utterances(root):
        info = soundfile.info(utterance.audio)
        assert (info.samplerate, info.channels, info.subtype) == (
            audio.SAMPLE_RATE,
            1,
            "PCM_16",
        )
        assert utterance.duration == pytest.approx(info.frames / info.samplerate, abs=1e-4)
        assert 0.6 < utterance.duration < 10
        waveform = audio.load(utterance.audio)
        assert 0.1 < np.abs(waveform).max() < 0.95
        assert np.sqrt(np.mean(waveform**2)) > 0.01


def test_splits_share_no_speakers_and_variants(plan):
    voices = {
        split: {prompt.speaker for prompt in prompts} for split, prompts in plan.items()
    }
    variants = {split: {voice.split("+")[1] for voice in voices[split]} for split in voices}
    for names in (voices, variants):
        assert sum(map(len, names.values())) == len(set().union(*names.values()))
    assert all(voices[split] == set(synthetic.speakers(split)) for split in SPLITS)


def test_train_has_the_accents_of_the_other_splits(plan):
    accents = {split: {p.speaker.split("+")[0] for p in plan[split]} for split in plan}
    assert (
        accents["validation"] | accents["test"]
        <= accents["train"]
        == set(synthetic.ACCENTS.split())
    )


def test_splits_share_no_sentence_of_more_than_three_words(plan):
    texts = [
        {p.text for p in prompts if len(p.text.split()) > 3} for prompts in plan.values()
    ]
    assert sum(map(len, texts)) == len(set().union(*texts))


def test_every_transcript_is_normalized_and_has_tokens(plan):
    tokenizer = Tokenizer.english()
    for prompt in (prompt for prompts in plan.values() for prompt in prompts):
        assert normalize(prompt.text) == prompt.text
        assert tokenizer.decode(tokenizer.encode(prompt.text)) == prompt.text


def test_an_hour_of_training_has_every_word_of_the_grammar(plan):
    words = set(
        re.sub(r"\{[^}]+\}", "", " ".join(map(" ".join, synthetic.RULES.values()))).split()
    )
    assert {word for prompt in plan["train"] for word in prompt.text.split()} == words
    assert 200 <= len(words) <= 240


def test_every_rule_is_defined_and_used():
    used = {
        name
        for alternatives in synthetic.RULES.values()
        for alternative in alternatives
        for name in re.findall(r"\{([^}]+)\}", alternative)
    }
    assert used | {"sentence"} == set(synthetic.RULES)


@pytest.mark.parametrize("split", SPLITS)
def test_espeak_has_every_voice(split):
    for voice in synthetic.speakers(split):
        samples, rate = espeak.synthesize("one", voice)
        assert rate == 22_050 and samples.dtype == np.int16
        assert (
            0.2 < len(samples) / rate < 1.5
            and 1000 < np.abs(samples.astype(int)).max() < 32_767
        ), voice


def test_an_error_names_an_unknown_voice():
    with pytest.raises(RecipeError, match=r"no voice 'xx\+nobody'"):
        espeak.synthesize("one", "xx+nobody")


def test_a_library_that_does_not_load_is_one_line(monkeypatch, tmp_path):
    import espeakng_loader

    monkeypatch.setattr(
        espeakng_loader, "get_library_path", lambda: str(tmp_path / "none.so")
    )
    espeak._load.cache_clear()
    with pytest.raises(RecipeError, match="does not load on this machine") as caught:
        espeak.synthesize("one", "en-us+m3")
    assert "\n" not in str(caught.value)
    espeak._load.cache_clear()


def test_a_failed_process_is_one_line_and_leaves_no_manifest(monkeypatch, tmp_path):
    monkeypatch.setattr(synthetic, "speakers", lambda split: ["xx+nobody"])
    with pytest.raises(
        RecipeError, match=r"Speech synthesis failed: eSpeak NG has no voice 'xx\+nobody'"
    ):
        synthetic.synthetic(root=tmp_path, hours=HOURS)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    "wrong", [{"hours": 0.0}, {"hours": float("nan")}, {"seed": -1}, {"workers": -1}]
)
def test_invalid_settings_are_refused(wrong, tmp_path):
    with pytest.raises(RecipeError, match=next(iter(wrong))):
        synthetic.synthetic(root=tmp_path, **wrong)


def test_the_recipe_needs_no_torch():
    import subprocess

    check = "import sys, recipes.synthetic; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
