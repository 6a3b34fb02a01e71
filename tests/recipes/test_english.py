"""Test the union of English corpora, the choice of its speakers, and the synthesized prose."""

import gzip
import random
from pathlib import Path

import pytest
import soundfile

from asr.text import normalize
from recipes import synthesis
from recipes.english import english
from recipes.errors import RecipeError
from recipes.lm import lm
from recipes.prepare import RECORD
from recipes.prose import PITCH, SPEED, VOICES, find_unclear, plan, read_sentences, spell

SPEAKERS = {"validation_speakers": ["librispeech-2"], "test_speakers": ["librispeech-3"]}
PROSE = """\
The rain had stopped before Mr. Brown came home. "Is it late?" he asked. Yes.
In 1859 nobody knew. The house of the B.B.C. and the BBC was dark! They sat by the fire until dawn.
The rain had stopped before Mr. Brown came home.
"""


def write_librispeech(folder: Path, tone, speakers: str) -> None:
    for speaker in speakers:
        chapter = folder / speaker / "9"
        for i in (0, 1):
            tone(chapter / f"{speaker}-9-000{i}.flac")
        lines = f"{speaker}-9-0000 HELLO THERE\n{speaker}-9-0001 MISTER BROWN\n"
        (chapter / f"{speaker}-9.trans.txt").write_text(lines)


@pytest.fixture
def root(tmp_path, tone) -> Path:
    """Return a folder with small imitations of the corpora."""
    for part, speakers in {
        "train-clean-5": "12",
        "dev-clean": "34",
        "test-other": "5",
    }.items():
        write_librispeech(tmp_path / "LibriSpeech" / part, tone, speakers)
    (tmp_path / "an4" / "etc").mkdir(parents=True)
    for split, speakers in {"train": range(9), "test": range(9, 10)}.items():
        names = [f"{'fm'[i % 2]}{i}" for i in speakers]
        for name in names:
            tone(tmp_path / "an4" / "wav" / name / f"an1-{name}-b.wav")
        stem = tmp_path / "an4" / "etc" / f"an4_{split}"
        lines = (f"<s> YES </s> (an1-{name}-b)\n" for name in names)
        stem.with_suffix(".transcription").write_text("".join(lines))
        lines = (f"{name}/an1-{name}-b\n" for name in names)
        stem.with_suffix(".fileids").write_text("".join(lines))
    for split, speakers in {"train": range(11), "test": range(11, 12)}.items():
        folder = tmp_path / "speechocean762" / split
        folder.mkdir(parents=True)
        for name, value in {
            "wav.scp": "WAVE/{}.WAV",
            "text": "A TIGER",
            "utt2spk": "{}",
        }.items():
            lines = (f"u{i} {value.format(i)}\n" for i in speakers)
            (folder / name).write_text("".join(lines))
        for i in speakers:
            tone(folder.parent / "WAVE" / f"{i}.WAV", format="WAV")
    commands = tmp_path / "SpeechCommands" / "speech_commands_v0.02"
    for i in range(8):
        tone(commands / "yes" / f"{i}_nohash_0.wav")
    (commands / "validation_list.txt").write_text("yes/6_nohash_0.wav\n")
    (commands / "testing_list.txt").write_text("yes/7_nohash_0.wav\n")
    return tmp_path


@pytest.fixture
def prose(tmp_path) -> Path:
    path = tmp_path / "books.txt.gz"
    path.write_bytes(gzip.compress(PROSE.encode()))
    return path


def write_table(folder: Path, tone, rows: list[tuple[str, str, str]]) -> Path:
    for name, _, _ in rows:
        tone(folder / name)
    lines = ["path\tspeaker\tsplit\ttext", *(f"{n}\t{s}\ttrain\t{t}" for n, s, t in rows)]
    (folder / "index.tsv").write_text("\n".join(lines))
    return folder / "index.tsv"


def test_each_speaker_is_in_one_split_and_no_test_set_is_used_for_training(root, manifest):
    english(root=root, commands=5, **SPEAKERS)
    splits = {
        split: {u.speaker for u in manifest(root, "english", split)}
        for split in ("train", "validation", "test", "test-other")
    }
    assert splits["test"] == {"librispeech-3"}
    assert splits["test-other"] == {"librispeech-5"}
    assert {"librispeech-1", "librispeech-4"} <= splits["train"]
    assert "librispeech-2" in splits["validation"]
    assert len(set.union(*splits.values())) == sum(map(len, splits.values()))
    names = splits["train"] | splits["validation"]
    assert {n for n in names if n.startswith("an4-")} == {
        f"an4-{'fm'[i % 2]}{i}" for i in range(9)
    }
    assert sum(name.startswith("speechocean762-") for name in names) == 11
    assert sum(name.startswith("speechcommands-") for name in splits["train"]) == 5
    assert "speechcommands-6" in splits["validation"]
    assert not {"an4-m9", "speechocean762-11", "speechcommands-7"} & names


def test_tables_are_spelled_and_unclear_or_repeated_clips_and_unwanted_speakers_are_left_out(
    root, tone, manifest
):
    extra = write_table(
        root / "librispeech_extra",
        tone,
        [("4-9-0000.ogg", "4", "Hello there"), ("3-9-0007.ogg", "3", "Good morning")],
    )
    stories = write_table(
        root / "stories",
        tone,
        [
            ("a.wav", "ann", "Mr. Brown, Mrs. Hill, etc."),
            ("b.wav", "ann", "Call the BBC."),
            ("c.wav", "ann", "Room 5"),
            ("d.wav", "bob", "Never used"),
        ],
    )
    folder = english(
        root=root, tables=[extra, stories], leave_out=["stories-bob"], **SPEAKERS
    )
    train = manifest(root, "english", "train")
    texts = [u.text for u in train if u.speaker == "stories-ann"]
    assert texts == ["mister brown missus hill et cetera"]
    assert sum(u.speaker == "librispeech-4" for u in train) == 2
    assert "good morning" in {u.text for u in manifest(root, "english", "test")}
    assert not any(u.speaker == "stories-bob" for u in train)
    left_out = (folder / "left_out.txt").read_text()
    assert "4-9-0000.ogg\tduplicate" in left_out
    assert "d.wav\tspeaker in leave_out" in left_out
    assert "b.wav\tunclear pronunciation: BBC" in left_out
    assert "c.wav\tunclear pronunciation: 5" in left_out


def test_an_unknown_speaker_or_part_is_one_clear_line(root):
    with pytest.raises(
        RecipeError, match=r"test_speakers: no speaker librispeech-8\. Choose"
    ):
        english(root=root, **SPEAKERS | {"test_speakers": ["librispeech-8"]})
    with pytest.raises(RecipeError, match="librispeech-3 is in validation_speakers, too"):
        english(root=root, **SPEAKERS | {"validation_speakers": SPEAKERS["test_speakers"]})
    with pytest.raises(RecipeError, match="parts must be some of"):
        english(root=root, parts=["train"], **SPEAKERS)
    with pytest.raises(RecipeError, match="synthetic_hours must be"):
        english(root=root, synthetic_hours=-1, **SPEAKERS)


def test_prose_becomes_sentences_and_speech_and_an_interrupted_run_resumes(
    root, prose, manifest, monkeypatch
):
    options = {"prose": [prose], "synthetic_hours": 1, "workers": 1, **SPEAKERS}
    monkeypatch.setattr(synthesis, "BATCH", 1)
    synthesize_batch = synthesis._synthesize_batch

    def interrupt(prompts, folder, noise):
        if any(folder.rglob("*.flac")):
            raise KeyboardInterrupt
        synthesize_batch(prompts, folder, noise)

    with monkeypatch.context() as patch:
        patch.setattr(synthesis, "_synthesize_batch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            english(root=root, **options)
    (first,) = (root / "english").rglob("*.flac")
    written = first.stat().st_mtime_ns
    english(root=root, **options)
    assert first.stat().st_mtime_ns == written
    synthetic = manifest(root, "english", "synthetic")
    texts = {
        "the rain had stopped before mister brown came home",
        "is it late",
        "they sat by the fire until dawn",
    }
    assert {u.text for u in synthetic} == texts
    assert all(u.speaker.removeprefix("espeak-") in VOICES for u in synthetic)
    assert {soundfile.info(u.audio).samplerate for u in synthetic} == {16_000}
    sentences = (root / "english" / "prose.txt").read_text().splitlines()
    assert "yes" in sentences
    assert not any("bbc" in sentence for sentence in sentences)
    assert (lm(text=[root / "english" / "prose.txt"], order=2, root=root)).exists()


def test_another_book_replaces_the_synthesized_recordings(root, prose, manifest):
    options = {"prose": [prose], "workers": 1, **SPEAKERS}
    english(root=root, synthetic_hours=1e-4, **options)
    (old,) = (root / "english").rglob("*.flac")
    prose.write_bytes(gzip.compress(b"Nothing is left of the other book."))
    english(root=root, synthetic_hours=1e-4, again=True, **options)
    (new,) = (root / "english").rglob("*.flac")
    assert new != old
    (utterance,) = manifest(root, "english", "synthetic")
    assert utterance.audio.name == new.name
    assert utterance.text == "nothing is left of the other book"
    english(root=root, **SPEAKERS)
    assert not (root / "manifests" / "english" / "synthetic.jsonl").exists()
    assert (root / "manifests" / "english" / RECORD).exists()


def test_more_hours_only_add_utterances_and_all_voices_and_manners_occur():
    words = ["rain", "stone", "river", "light", "morning", "garden", "shadow", "letter"]
    rng = random.Random(0)
    sentences = [" ".join(rng.choices(words, k=rng.randint(1, 25))) for _ in range(4_000)]
    prompts = plan(sentences, 2.0, 0)
    assert plan(sentences, 1.0, 0) == prompts[: len(plan(sentences, 1.0, 0))] != prompts
    assert plan(sentences, 2.0, 1) != prompts
    assert {p.speaker for p in prompts} == set(VOICES)
    assert {len(normalize(p.text).split()) for p in prompts} == set(range(3, 21))
    assert (min(p.speed for p in prompts), max(p.speed for p in prompts)) == SPEED
    assert (min(p.pitch for p in prompts), max(p.pitch for p in prompts)) == PITCH
    assert len({p.path for p in prompts}) == len(prompts)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("Press one for A.M, or two.", ""),
        ("I said: no, no-sir-ee!", ""),
        ("THE BBC", ""),  # all capitals, as in LibriSpeech
        ("See www.example.org now", "www.example.org"),
        ("the MSS. of St. John", "St."),
        ("Henry VIII", "VIII"),
        ("for 2 p.m", "2"),
        ("half a crown, or £", "£"),
        ("a café", "é"),
        ("he *did*", "*"),
    ],
)
def test_tokens_without_a_clear_pronunciation_are_found(text, token):
    assert find_unclear(text) == token


def test_abbreviations_become_words():
    assert (
        spell("Mr Fox, MRS. Fox, Dr. Fox etc.")
        == "mister Fox, missus Fox, doctor Fox et cetera"
    )


def test_sentences_are_distinct_and_keep_their_punctuation(prose):
    sentences = read_sentences([prose])
    assert sentences[:2] == [
        "The rain had stopped before mister Brown came home.",
        '"Is it late?',
    ]
    assert len(sentences) == len(set(sentences))


def test_a_missing_book_is_one_clear_line(tmp_path):
    with pytest.raises(RecipeError, match=r"none.txt: not a readable UTF-8 text"):
        read_sentences([tmp_path / "none.txt"])


def test_the_shared_corpora_give_15_hours_by_hundreds_of_speakers(
    shared, tmp_path, manifest
):
    folders = {
        "an4": "an4",
        "librispeech": "LibriSpeech",
        "speechocean762": "speechocean762",
        "speechcommands": "SpeechCommands",
    }
    for corpus, folder in folders.items():
        (tmp_path / folder).symlink_to(shared(corpus) / folder)
    data = Path(__file__).parents[2].parent / "shared" / "data"
    names = ("librispeech_extra", "kathleen", "asterisk_prompts", "african_storybook")
    english(
        root=tmp_path,
        parts=["train-clean-5", "train-clean-100", "dev-clean", "test-other"],
        tables=[
            data / n / "index.tsv"
            for n in (*names, "ljspeech", "picovoice_barista", "vctk")
        ],
    )
    train = manifest(tmp_path, "english", "train")
    assert sum(u.duration for u in train) / 3600 == pytest.approx(15.0, abs=0.1)
    speakers = {u.speaker for u in train}
    assert len(speakers) == 372
    assert not {"librispeech-1898", "librispeech-1673", "librispeech-533"} & speakers
    assert "asterisk_prompts-allison_smith_us" not in speakers
    assert len(manifest(tmp_path, "english", "test")) == 96
