"""An archive of Common Voice goes through preparation, training, evaluation, and transcription."""

import json
import tarfile

import pytest
import soundfile
from entry import caller
from training_runs import run

from asr.audio import resample
from asr.data.manifest import read_manifest
from asr.evaluate import main as evaluate
from asr.transcribe import main as transcribe
from recipes.commonvoice import commonvoice
from recipes.errors import RecipeError

HEADER = "client_id\tpath\tsentence_id\tsentence\tup_votes\tdown_votes\tlocale"
RATE = 32_000  # Hz
SIZES = {"train": 12, "dev": 3, "test": 3}


def write_release(folder, utterances):
    """Write tables and MP3 clips, as a release has them."""
    (folder / "clips").mkdir(parents=True)
    utterances = iter(utterances)
    for part, size in SIZES.items():
        lines = [HEADER]
        for number in range(size):
            utterance, clip = next(utterances), f"common_voice_en_{part}{number}.mp3"
            samples, rate = soundfile.read(utterance.audio)
            soundfile.write(folder / "clips" / clip, resample(samples, rate, RATE), RATE)
            sentence = f"{utterance.text.capitalize()}."
            lines.append(f"{part}\t{clip}\t{number}\t{sentence}\t2\t0\ten")
        (folder / f"{part}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_an_archive_is_prepared_trained_on_evaluated_and_transcribed(
    corpus, tmp_path, monkeypatch, capsys
):
    release = tmp_path / "cv-corpus-17.0-2024-03-15"
    utterances = read_manifest(corpus / "manifests" / "synthetic" / "train.jsonl")
    write_release(release / "en", utterances)
    archive = tmp_path / "cv-corpus-17.0-2024-03-15-en.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(release, release.name)
    root = tmp_path / "data"
    commonvoice(archive=archive, root=root)

    other = tmp_path / "cv-corpus-17.0-2024-03-15-cy.tar.gz"
    with pytest.raises(RecipeError, match=r"is from cv-corpus-17.0.*-en.tar.gz"):
        commonvoice(archive=other, root=root)  # another language needs a name of its own

    summary = run(root, tmp_path / "run", "data=commonvoice", "tokenizer=manifest")
    assert summary["steps"] > 0
    checkpoint = f"checkpoint={tmp_path / 'run' / 'model.safetensors'}"

    call = caller(monkeypatch, capsys)
    data = ["data=commonvoice", f"data.root={root}", "data.workers=0"]
    finished = call(evaluate, checkpoint, *data, f"dir={tmp_path / 'report'}")
    assert finished.code == 0
    report = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert report["utterances"] == SIZES["test"]

    clips = sorted((root / "commonvoice").rglob("*test*.mp3"))
    finished = call(transcribe, *clips, checkpoint, "format=json")
    assert finished.code == 0
    lines = finished.out.splitlines()
    assert [json.loads(line)["file"] for line in lines] == list(map(str, clips))
    assert len(lines) == SIZES["test"]
