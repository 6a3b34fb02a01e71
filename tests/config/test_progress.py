"""Progress of transcription: when the bar is shown, and what it and the summary say."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.config.inputs import InputFile
from asr.config.progress import TranscriptionProgress, wants_progress


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def inputs(recording: Callable[..., Path]) -> list[InputFile]:
    paths = [recording("a.wav", 2.0), recording("b.wav", 70.0, rate=8000)]
    return [InputFile(str(path), path.stem, path) for path in paths]


def test_auto_shows_a_bar_on_a_terminal_for_several_recordings_or_a_long_one(
    inputs: list[InputFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not wants_progress("auto", inputs, prints=False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert wants_progress("auto", inputs, prints=False)
    assert wants_progress("auto", inputs[1:], prints=False)
    assert not wants_progress("auto", inputs[:1], prints=False)
    assert not wants_progress("auto", [], prints=False)
    broken = InputFile("none.wav", "none", Path("none.wav"))
    assert not wants_progress("auto", [broken], prints=False)


def test_auto_shows_no_bar_beside_a_pipe_whose_reader_may_print(
    inputs: list[InputFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert not wants_progress("auto", inputs, prints=True)
        assert wants_progress("auto", inputs, prints=False)


def test_true_and_false_decide_without_a_terminal(inputs: list[InputFile]) -> None:
    assert wants_progress(True, inputs[:1], prints=True)
    assert not wants_progress(False, inputs, prints=False)


def test_the_bar_shows_seconds_real_time_factor_and_time_left(
    inputs: list[InputFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "120")
    with TranscriptionProgress(inputs, show=True) as progress:
        progress._measure(progress._bar)
        progress.compute(2, 36.0)
        progress._bar.refresh()
        progress.advance(2.0)
    assert "0:00:36 of audio, RTF 0." in screen.getvalue()
    assert " left" in screen.getvalue()


@pytest.mark.parametrize("each_channel", [False, True])
def test_the_bar_counts_neither_context_nor_channels_twice(
    recording: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, each_channel: bool
) -> None:
    path = recording("a.wav", 200.0, rate=8000)
    samples, rate = soundfile.read(path)
    soundfile.write(path, np.stack([samples, samples], axis=1), rate)
    monkeypatch.setattr(sys, "stderr", Terminal())
    inputs = [InputFile("a.wav", "a", path)]
    with TranscriptionProgress(inputs, show=True, each_channel=each_channel) as progress:
        progress._measure(progress._bar)
        windows = 4 if each_channel else 2
        progress.compute(windows, windows * 36.0)  # 30 s with 3 s of context on each side
        assert progress._bar.tasks[0].completed == 60.0
        progress.compute(windows // 2, windows // 2 * 20.0)
        assert progress._bar.tasks[0].completed == 80.0
        assert progress._bar.tasks[0].total == 200.0


def test_the_bar_is_removed_while_a_result_is_printed_to_the_terminal(
    inputs: list[InputFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with TranscriptionProgress(inputs, show=True) as progress:
        for stdout, shown in ((Terminal(), False), (io.StringIO(), True)):
            monkeypatch.setattr(sys, "stdout", stdout)
            with progress.hidden():
                assert progress._bar.live.is_started == shown
            assert progress._bar.live.is_started


def test_the_summary_counts_recordings_seconds_and_failures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter([0.0, 40.94])
    monkeypatch.setattr("time.monotonic", times.__next__)
    progress = TranscriptionProgress([], show=False)
    for seconds in [*[300.0] * 12, 123.0]:
        progress.advance(seconds)
    progress.failed = 1
    assert progress.summarize(3) == (
        "13 recordings, 1:02:03 of audio in 0:00:41 (RTF 0.011), 1 failed, 3 already there"
    )


def test_the_summary_of_nothing_names_what_was_done_before() -> None:
    progress = TranscriptionProgress([], show=False)
    assert progress.summarize(3) == "0 recordings, 3 already there"
