"""Progress of transcription: a bar on a terminal, and a summary."""

import math
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from asr import audio
from asr.config.inputs import InputFile
from asr.errors import AudioError
from asr.inference.windows import CONTEXT, WINDOW

if TYPE_CHECKING:
    from rich.progress import Progress

LONG_SECONDS = 60.0  # a recording of this length has a bar of its own


class TranscriptionProgress:
    """Counts of recordings and seconds, and a bar on standard error inside a `with` statement.

    Attributes:
        recordings: Number of transcribed recordings.
        failed: Number of recordings that cannot be transcribed.
        seconds: Length of the transcribed recordings.
    """

    def __init__(
        self, inputs: Sequence[InputFile], *, show: bool, each_channel: bool = False
    ) -> None:
        """Start the clock.

        Args:
            inputs: The recordings.
            show: Whether to show a bar.
            each_channel: Whether each channel of a recording is computed by itself.
        """
        self.recordings, self.failed, self.seconds = 0, 0, 0.0
        self._start = time.monotonic()
        self._inputs = inputs
        self._computed, self._total = 0.0, math.inf  # seconds
        self._each_channel = each_channel
        self._channels = math.inf if each_channel else 1.0  # mean, unknown at first
        self._bar = _make_bar() if show else None

    def __enter__(self) -> "TranscriptionProgress":
        if self._bar:
            self._bar.add_task("", total=None)
            self._bar.start()
            threading.Thread(target=self._measure, args=[self._bar], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, seconds: float) -> None:
        """Count a transcribed recording and its length."""
        self.recordings += 1
        self.seconds += seconds
        self._update_bar()

    def compute(self, windows: int, seconds: float) -> None:
        """Count the seconds of a batch, which move the bar before a recording is transcribed.

        Windows of long audio have context on both sides, which is not counted.
        """
        has_context = seconds > WINDOW * windows
        self._computed += seconds - 2 * CONTEXT * windows * has_context
        self._update_bar()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the bar while a result is printed to the same terminal."""
        bar = self._bar if sys.stdout.isatty() else None
        if bar:
            bar.stop()
        try:
            yield
        finally:
            if bar:
                bar.start()

    def summarize(self, done: int) -> str:
        """Return the counts in one line, with the number of recordings that were done before."""
        plural = "" if self.recordings == 1 else "s"
        parts = [f"{self.recordings} recording{plural}"]
        if self.recordings:
            elapsed = self._elapsed()
            factor = elapsed / max(self.seconds, 1e-3)
            times = f"{_clock(self.seconds)} of audio in {_clock(elapsed)}"
            parts.append(f"{times} (RTF {factor:.3f})")
        parts += [f"{self.failed} failed"] * (self.failed > 0)
        parts += [f"{done} already there"] * (done > 0)
        return ", ".join(parts)

    def _measure(self, bar: "Progress") -> None:
        """Set the total of the bar to the length of all recordings, according to their headers."""
        total = computed = 0.0
        for item in self._inputs:
            with suppress(AudioError):
                info = audio.info(item.source)
                total += info.duration
                computed += info.duration * (info.channels if self._each_channel else 1)
        self._total, self._channels = total, computed / max(total, 1e-3)
        bar.update(bar.task_ids[0], total=total)

    def _update_bar(self) -> None:
        if self._bar:
            seconds = max(self.seconds, min(self._computed / self._channels, self._total))
            factor = self._elapsed() / max(seconds, 1e-3)
            text = f"{_clock(seconds)} of audio, RTF {factor:.3f}"
            if self._total < math.inf:
                left = factor * max(0.0, self._total - seconds)
                text += f", {_clock(left)} left"
            self._bar.update(self._bar.task_ids[0], completed=seconds, description=text)

    def _elapsed(self) -> float:
        return time.monotonic() - self._start


def _make_bar() -> "Progress":
    """Return a bar on standard error that disappears at the end."""
    from rich import progress  # takes a tenth of a second
    from rich.console import Console

    return progress.Progress(
        progress.BarColumn(),
        progress.TextColumn("{task.description}"),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
    )


def wants_progress(
    setting: Literal["auto"] | bool, inputs: Sequence[InputFile], *, prints: bool
) -> bool:
    """Return whether to show a bar.

    "auto" shows it on a terminal for several recordings or a long one, unless the results are
    printed to a pipe, whose reader may print to the same terminal.
    """
    if setting != "auto":
        return setting
    if sys.stderr is None or not sys.stderr.isatty() or not inputs:
        return False
    if prints and stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
        return False
    return len(inputs) > 1 or _is_long(inputs[0])


def _is_long(item: InputFile) -> bool:
    try:
        return audio.info(item.source).duration > LONG_SECONDS
    except AudioError:
        return False


def _clock(seconds: float) -> str:
    """Return a time as H:MM:SS."""
    return str(timedelta(seconds=round(seconds)))
