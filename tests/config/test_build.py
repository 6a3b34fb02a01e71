"""Preparation of a corpus before its first use."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import recipes.prepare
from asr.config import build


def test_a_recipe_runs_until_it_has_finished_once(
    tmp_path: Path, recording: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    utterance = recipes.prepare.Recording(recording("a.wav", 0.5), "one")
    calls = []

    def recipe(*settings: object) -> None:
        calls.append(settings)
        splits = {"train": [utterance], "test": [utterance]}
        recipes.prepare.prepare("mine", lambda: splits, root=tmp_path, again=False)

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "instantiate", recipe)
    manifests = tmp_path / "manifests" / "mine"
    data = OmegaConf.create({"manifests": str(manifests), "recipe": {}})
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(recipes.prepare, "write_manifest", interrupt)
        build.ensure_corpus(data)
    assert manifests.is_dir()
    for expected in (2, 2):  # the second call finds a finished corpus
        build.ensure_corpus(data)
        assert len(calls) == expected
    (manifests / "test.jsonl").unlink()
    build.ensure_corpus(data)
    assert len(calls) == 3
    (manifests / "prepared.json").write_text("{")
    build.ensure_corpus(data)
    assert len(calls) == 4
    (manifests / "prepared.json").unlink()  # manifests of another origin are left alone
    build.ensure_corpus(data)
    assert len(calls) == 4


def test_processes_that_start_together_prepare_a_corpus_once(
    tmp_path: Path, recording: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    utterance = recipes.prepare.Recording(recording("a.wav", 0.5), "one")
    calls = []

    def recipe(*settings: object) -> None:
        calls.append(settings)
        time.sleep(0.2)  # the others arrive meanwhile
        splits = {"train": [utterance]}
        recipes.prepare.prepare("mine", lambda: splits, root=tmp_path, again=False)

    monkeypatch.setattr(build, "instantiate", recipe)
    manifests = tmp_path / "manifests" / "mine"
    data = OmegaConf.create({"manifests": str(manifests), "recipe": {}})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(build.ensure_corpus, [data] * 4))
    assert len(calls) == 1
