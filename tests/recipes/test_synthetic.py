"""The built-in corpus: the same bytes for the same settings, no voice in two parts, exact transcripts."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr import audio
from asr.data.manifest import Utterance, read_manifest
from asr.text import Tokenizer, normalize
from recipes import espeak, synthetic
from recipes.fetch import RecipeError

HOURS = 0.0056  # 7 utterances to train with, 1 to validate, 1 to test
PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    synthetic.synthetic(root=root, hours=HOURS, workers=1)
    return root


@pytest.fixture(scope="module")
def plan() -> dict[str, list[synthetic.Line]]:
    return synthetic.plan(hours=1.0, seed=0)


def utterances(root: Path) -> list[Utterance]:
    return [
        u
        for part in PARTS
        for u in read_manifest(root / "manifests" / "synthetic" / f"{part}.jsonl")
    ]


def contents(root: Path) -> dict[str, bytes]:
    files = [*(root / "synthetic").rglob("*.flac"), *(root / "manifests").rglob("*.jsonl")]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_same_seed_same_bytes_whatever_the_number_of_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "SHARD", 4)
    for workers in (1, 3):
        synthetic.synthetic(root=tmp_path / str(workers), hours=HOURS, workers=workers)
    one, three = contents(tmp_path / "1"), contents(tmp_path / "3")
    assert len(one) == 12
    assert one == three


def test_another_seed_is_another_corpus_and_replaces_the_first(root, tmp_path):
    synthetic.synthetic(root=tmp_path, hours=HOURS / 2, seed=1)
    first = {u.text for u in utterances(tmp_path)}
    synthetic.synthetic(root=tmp_path, hours=HOURS / 2, seed=2)
    assert {u.text for u in utterances(tmp_path)} != first
    assert {u.audio.resolve() for u in utterances(tmp_path)} == {
        path.resolve() for path in (tmp_path / "synthetic").rglob("*.flac")
    }


def test_a_second_run_touches_nothing(root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert synthetic.prepare(root=root, hours=HOURS) == root / "manifests" / "synthetic"
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_an_interrupted_generation_is_not_taken_for_a_whole_one(root, tmp_path, monkeypatch):
    synthetic.synthetic(root=tmp_path, hours=HOURS)
    whole = contents(tmp_path)
    monkeypatch.setattr(
        synthetic, "_speak_shard", lambda shard, folder: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        synthetic.synthetic(root=tmp_path, hours=HOURS, again=True)
    assert contents(tmp_path) == {}
    monkeypatch.undo()
    synthetic.synthetic(root=tmp_path, hours=HOURS)
    assert contents(tmp_path) == whole


def test_a_missing_recording_is_made_again(tmp_path):
    synthetic.synthetic(root=tmp_path, hours=HOURS / 2)
    whole = contents(tmp_path)
    next((tmp_path / "synthetic" / "test").rglob("*.flac")).unlink()
    synthetic.synthetic(root=tmp_path, hours=HOURS / 2)
    assert contents(tmp_path) == whole


def test_recordings_are_16_bit_16_khz_audible_unclipped_and_as_long_as_the_manifest_says(root):
    for utterance in utterances(root):
        info = soundfile.info(utterance.audio)
        assert (info.samplerate, info.channels, info.subtype) == (audio.SAMPLE_RATE, 1, "PCM_16")
        assert utterance.duration == pytest.approx(info.frames / info.samplerate, abs=1e-4)
        assert 0.6 < utterance.duration < 10
        waveform = audio.load(utterance.audio)
        assert 0.1 < np.abs(waveform).max() < 0.95
        assert np.sqrt(np.mean(waveform**2)) > 0.01


def test_speakers_and_variants_of_a_part_are_heard_in_no_other(plan):
    voices = {part: {line.speaker for line in lines} for part, lines in plan.items()}
    variants = {part: {voice.split("+")[1] for voice in heard} for part, heard in voices.items()}
    for heard in (voices, variants):
        assert sum(map(len, heard.values())) == len(set().union(*heard.values()))
    assert all(voices[part] == set(synthetic.speakers(part)) for part in PARTS)


def test_held_out_accents_are_known_from_training(plan):
    accents = {part: {line.speaker.split("+")[0] for line in lines} for part, lines in plan.items()}
    assert (
        accents["validation"] | accents["test"]
        <= accents["train"]
        == set(synthetic.ACCENTS.split())
    )


def test_no_sentence_of_more_than_three_words_is_in_two_parts(plan):
    texts = [{line.text for line in lines if len(line.text.split()) > 3} for lines in plan.values()]
    assert sum(map(len, texts)) == len(set().union(*texts))


def test_every_transcript_is_normalised_and_has_tokens(plan):
    tokenizer = Tokenizer.english()
    for line in (line for lines in plan.values() for line in lines):
        assert normalize(line.text) == line.text
        assert tokenizer.decode(tokenizer.encode(line.text)) == line.text


def test_an_hour_of_training_holds_every_word_of_the_grammar(plan):
    words = set(re.sub(r"\{[^}]+\}", "", " ".join(map(" ".join, synthetic.RULES.values()))).split())
    assert {word for line in plan["train"] for word in line.text.split()} == words
    assert 200 <= len(words) <= 240


def test_every_rule_is_defined_and_used():
    used = {
        name
        for choices in synthetic.RULES.values()
        for c in choices
        for name in re.findall(r"\{([^}]+)\}", c)
    }
    assert used | {"sentence"} == set(synthetic.RULES)


@pytest.mark.parametrize("part", PARTS)
def test_espeak_knows_every_voice(part):
    for voice in synthetic.speakers(part):
        samples, rate = espeak.speak("one", voice)
        assert rate == 22_050 and samples.dtype == np.int16
        assert (
            0.2 < len(samples) / rate < 1.5 and 1000 < np.abs(samples.astype(int)).max() < 32_767
        ), voice


def test_an_unknown_voice_is_named():
    with pytest.raises(espeak.EspeakError, match=r"no voice 'xx\+nobody'"):
        espeak.speak("one", "xx+nobody")


def test_a_library_that_does_not_load_is_one_line(monkeypatch, tmp_path):
    import espeakng_loader

    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(tmp_path / "none.so"))
    espeak._load.cache_clear()
    with pytest.raises(espeak.EspeakError, match="does not load on this machine") as caught:
        espeak.speak("one", "en-us+m3")
    assert "\n" not in str(caught.value)
    espeak._load.cache_clear()


def test_a_process_that_fails_is_one_line_and_leaves_no_manifest(monkeypatch, tmp_path):
    monkeypatch.setattr(synthetic, "speakers", lambda part: ["xx+nobody"])
    with pytest.raises(RecipeError, match=r"cannot be spoken: eSpeak NG has no voice 'xx\+nobody'"):
        synthetic.synthetic(root=tmp_path, hours=HOURS)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    "wrong", [{"hours": 0.0}, {"hours": float("nan")}, {"seed": -1}, {"workers": -1}]
)
def test_settings_without_sense_are_refused(wrong, tmp_path):
    with pytest.raises(RecipeError, match=next(iter(wrong))):
        synthetic.synthetic(root=tmp_path, **wrong)


def test_the_recipe_needs_no_torch():
    import subprocess

    check = "import sys, recipes.synthetic; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
