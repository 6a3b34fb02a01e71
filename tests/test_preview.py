"""Command line of the preview of augmentation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from entry import Call, caller

from asr.data.manifest import Utterance, write_manifest
from asr.preview import main


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


def clips(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: soundfile.read(path)[0] for path in sorted(folder.glob("*.wav"))}


def test_clips_and_plots_are_written_and_depend_only_on_the_seed(
    corpus: Path, tmp_path: Path, call: Call
) -> None:
    settings = [
        f"data.root={corpus}",
        "count=2",
        "views=2",
        "augment.noise.probability=1",
        "augment.reverb.probability=1",
    ]
    first = call(main, *settings, f"dir={tmp_path / 'a'}")
    assert first.code == 0, first.err
    call(main, *settings, f"dir={tmp_path / 'b'}")
    call(main, *settings, f"dir={tmp_path / 'c'}", "seed=1")
    a, b, c = (clips(tmp_path / name) for name in "abc")
    assert len(a) == 2 * (1 + 2)
    assert len(list((tmp_path / "a").glob("*.png"))) == 2
    for name, clip in a.items():
        assert np.array_equal(clip, b[name])
        assert np.array_equal(clip, c[name]) == name.endswith("-0.wav")  # the original
        assert np.abs(clip).max() <= 1


def test_utterances_of_one_recording_have_their_own_clips(
    recording: Callable[..., Path], tmp_path: Path, call: Call
) -> None:
    audio = recording("long.wav", 3.0)
    pieces = [Utterance(audio, 1.0, "a", offset=offset) for offset in (0.0, 1.0, 2.0)]
    write_manifest(tmp_path / "train.jsonl", pieces)
    finished = call(
        main,
        "data=folder",
        f"data.train={tmp_path}/train.jsonl",
        f"dir={tmp_path}/out",
        "count=3",
        "views=1",
    )
    assert finished.code == 0, finished.err
    assert len(clips(tmp_path / "out")) == 3 * (1 + 1)
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


def test_wrong_settings_give_one_line(corpus: Path, tmp_path: Path, call: Call) -> None:
    finished = call(
        main,
        f"data.root={corpus}",
        "augment.noise.probability=1",
        f"augment.noise.folder={tmp_path}",
    )
    assert finished.code == 2
    assert "augment.noise.folder must contain recordings, got" in finished.complaint
    finished = call(main, f"data.root={corpus}", "count=0")
    assert finished.code == 2
    assert "count must be >= 1, got 0" in finished.complaint
