"""Batches of the waveforms of several threads."""

import threading

import numpy as np
import pytest

from asr.inference import batcher as batcher_module
from asr.inference.batcher import Batcher


class BlockedModel:
    """A model that waits for a signal, and records its batches."""

    def __init__(self, model):
        self.model, self.batches, self.go = model, [], threading.Event()

    def compute_emissions(self, waveforms):
        self.go.wait(600)
        self.batches.append([len(waveform) for waveform in waveforms])
        return self.model.compute_emissions(waveforms)


@pytest.fixture
def model(build):
    return BlockedModel(build())


def test_waiting_waveforms_are_computed_together_with_those_of_similar_length(model, sound):
    batcher = Batcher(model, batch_seconds=4.0)
    waveforms = [sound(seconds) for seconds in (0.5, 1.0, 3.0, 1.1, 1.2, 3.1)]
    futures = [batcher.submit(waveform) for waveform in waveforms]
    model.go.set()
    for waveform, future in zip(waveforms, futures, strict=True):
        alone = model.model.compute_emissions([waveform]).rows()[0]
        result = future.result(600)
        assert result.lengths.tolist() == [len(alone)]
        np.testing.assert_allclose(result.log_probs[0], alone, atol=1e-4)
    seconds = [[round(size / 16_000, 1) for size in batch] for batch in model.batches]
    # the first may start before the others are submitted
    assert sorted(length for batch in seconds for length in batch) == [
        0.5, 1.0, 1.1, 1.2, 3.0, 3.1,
    ]  # fmt: skip
    assert max(len(batch) for batch in seconds) == 3
    assert all(max(batch) * len(batch) <= 4.0 for batch in seconds)


def test_submitting_waits_while_too_much_audio_is_waiting(model, sound, monkeypatch):
    monkeypatch.setattr(batcher_module, "MAX_WAITING_SECONDS", 1.0)
    batcher = Batcher(model)
    futures = []
    thread = threading.Thread(
        target=lambda: futures.extend(batcher.submit(sound(0.9)) for _ in range(6))
    )
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    model.go.set()
    thread.join(600)
    assert len([future.result(600) for future in futures]) == 6


def test_an_error_of_the_model_reaches_those_who_wait(sound):
    class Broken:
        def compute_emissions(self, waveforms):
            raise RuntimeError("out of memory")

    future = Batcher(Broken()).submit(sound(0.5))
    with pytest.raises(RuntimeError, match="out of memory"):
        future.result(600)


def test_batches_are_counted(build, sound):
    counts = []
    batcher = Batcher(build(), on_batch=lambda *batch: counts.append(batch))
    batcher.submit(sound(0.5)).result(600)
    assert counts == [(1, 0.5)]


def test_closing_cancels_waiting_waveforms_and_ends_threads_that_submit(
    model, sound, monkeypatch
):
    monkeypatch.setattr(batcher_module, "MAX_WAITING_SECONDS", 1.0)
    batcher = Batcher(model)
    refused = []

    def submit_many():
        try:
            for _ in range(9):
                batcher.submit(sound(0.9))
        except RuntimeError as error:
            refused.append(str(error))

    thread = threading.Thread(target=submit_many)
    thread.start()
    thread.join(0.5)
    batcher.close()
    thread.join(600)
    model.go.set()
    assert refused == ["the batcher is closed"]
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(sound(0.1))


def test_an_error_while_counting_reaches_those_who_wait(build, sound):
    batcher = Batcher(build(), on_batch=lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        batcher.submit(sound(0.5)).result(600)


def test_a_long_waveform_waits_only_while_recordings_are_being_read(
    build, sound, monkeypatch
):
    monkeypatch.setattr(batcher_module, "COLLECT_SECONDS", 600.0)
    sizes = []
    batcher = Batcher(build(), on_batch=lambda size, _: sizes.append(size))
    batcher.submit(sound(21.0)).result(300)
    with batcher.reading():
        futures = [batcher.submit(sound(seconds)) for seconds in (21.0, 22.0)]
    for future in futures:
        future.result(300)
    assert sizes == [1, 2]
