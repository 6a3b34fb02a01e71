"""Scripts of benchmarks/ as modules, and a small imitation of the corpora."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from asr.data.manifest import Utterance, write_manifest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Return load(name), which imports benchmarks/NAME.py."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module


@pytest.fixture
def root(tmp_path: Path, recording: Callable[..., Path]) -> Path:
    """Return the folder of corpora with manifests of short sounds."""
    speakers = {
        "english/train": ["an4-fabc", "voices-known"],
        "english/validation": ["an4-mdef"],
        "english/test": ["librispeech-7", "librispeech-8"],
        "an4/train": ["fabc", "fabc"],
        "an4/validation": ["mdef"],
        "an4/test": ["fghi", "mjkl", "mjkl"],
        "speechocean762/test": ["0001", "0002"],
    }
    for seed, (manifest, names) in enumerate(speakers.items()):
        utterances = [
            Utterance(
                recording(f"{manifest}/{i}.wav", 0.3 + 0.1 * i, seed=10 * seed + i),
                0.3 + 0.1 * i,
                "yes" if i == 0 else f"number {manifest[0]}",
                speaker=name,
            )
            for i, name in enumerate(names)
        ]
        write_manifest(tmp_path / f"data/manifests/{manifest}.jsonl", utterances)
    return tmp_path / "data"
