"""Preparation of a corpus before its first use."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

import recipes.prepare
from asr.config import build


@pytest.fixture
def data(tmp_path: Path) -> DictConfig:
    manifests = tmp_path / "manifests" / "mine"
    return OmegaConf.create({"manifests": str(manifests), "recipe": {}})


@pytest.fixture
def calls(
    tmp_path: Path, recording: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> list[object]:
    """Replace the recipe by one that records its calls."""
    utterance = recipes.prepare.Recording(recording("a.wav", 0.5), "one")
    calls: list[object] = []

    def recipe(*settings: object) -> None:
        calls.append(settings)
        time.sleep(0.2)  # other processes arrive meanwhile
        splits = {"train": [utterance], "test": [utterance]}
        recipes.prepare.prepare("mine", lambda: splits, root=tmp_path, again=False)

    monkeypatch.setattr(build, "instantiate", recipe)
    return calls


def test_a_recipe_runs_until_it_has_finished_once(
    calls: list[object], data: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    manifests = Path(data.manifests)
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
    calls: list[object], data: DictConfig
) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(build.ensure_corpus, [data] * 4))
    assert len(calls) == 1
