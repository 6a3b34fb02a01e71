"""Reading batches: padding, failures, augmentation, and worker processes."""

import gc
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from asr import audio
from asr.audio.augment import Speed
from asr.config.reporting import print_user_error
from asr.data.dataset import SpeechDataset, collate
from asr.data.filter import Example, keep_all
from asr.data.loader import Loader
from asr.data.sampler import BucketSampler
from asr.errors import AudioError, WorkerError
from asr.processes import has_sigchld
from asr.text import Tokenizer

TENSORS = ("waveforms", "lengths", "targets", "target_lengths", "frames_needed")


@pytest.fixture
def examples(utterances):
    return keep_all(utterances, Tokenizer.english()).examples


def sampler(examples, **options):
    return BucketSampler(
        [e.utterance.duration for e in examples], batch_seconds=2.0, **options
    )


def items(*indices, epoch=0):
    return [(index, epoch) for index in indices]


def equal(left, right):
    return left.utterances == right.utterances and all(
        torch.equal(getattr(left, name), getattr(right, name)) for name in TENSORS
    )


def test_a_batch_has_waveforms_and_labels_padded_with_zeros(examples):
    batch = SpeechDataset(examples)[items(1, 2, 0)]
    assert batch.lengths.tolist() == [12_960, 5_280, 8_000]
    assert batch.waveforms.shape == (3, 12_960)
    for row, length, utterance in zip(
        batch.waveforms, batch.lengths.tolist(), batch.utterances, strict=True
    ):
        assert np.array_equal(row[:length].numpy(), audio.load(utterance.audio))
        assert not row[length:].any()
    assert batch.target_lengths.tolist() == [9, 0, 3]
    assert batch.targets.shape == (3, 9)
    assert Tokenizer.english().decode(batch.targets[0].tolist()) == "two three"
    assert batch.targets[2].tolist() == [17, 16, 7, 0, 0, 0, 0, 0, 0]
    assert batch.frames_needed.tolist() == [10, 0, 3]
    assert len(batch) == 3


def test_a_segment_of_a_file_is_read_from_offset_and_duration(examples):
    segment = replace(examples[4].utterance, offset=0.25, duration=0.5)
    batch = SpeechDataset([Example(segment, ())])[items(0)]
    assert np.array_equal(
        batch.waveforms[0].numpy(), audio.load(segment.audio)[4_000:12_000]
    )


def test_an_unreadable_file_is_skipped_and_listed(examples):
    examples[1].utterance.audio.write_text("no recording")
    examples[3].utterance.audio.unlink()
    batch = SpeechDataset(examples)[items(0, 1, 2, 3)]
    assert [u.text for u in batch.utterances] == ["one", ""]
    assert batch.waveforms.shape == (2, 8_000)
    assert [name for name, _ in batch.failures] == [
        str(examples[i].utterance.audio) for i in (1, 3)
    ]
    assert "not a recording" in batch.failures[0][1]
    assert "no such file" in batch.failures[1][1]


def test_on_error_raise_raises_for_an_unreadable_file(examples):
    examples[1].utterance.audio.unlink()
    with pytest.raises(AudioError, match="no such file"):
        SpeechDataset(examples, on_error="raise")[items(0, 1)]


def test_an_error_in_a_worker_process_names_the_file(examples):
    for example in examples:
        example.utterance.audio.unlink()
    with pytest.raises(AudioError, match="no such file"):
        list(
            Loader(SpeechDataset(examples, on_error="raise"), sampler(examples), workers=1)
        )


def test_a_batch_of_unreadable_files_has_no_utterances(examples):
    missing = [
        Example(replace(e.utterance, audio=Path("none.wav")), e.labels) for e in examples
    ]
    batch = SpeechDataset(missing)[items(0, 1)]
    assert len(batch) == 0
    assert len(batch.failures) == 2
    assert batch.waveforms.shape == (0, 0)
    assert batch.lengths.dtype == torch.int64


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(examples, workers):
    dataset = SpeechDataset(examples, augment=Speed(), seed=3)
    expected = list(Loader(dataset, sampler(examples)))
    batches = list(Loader(dataset, sampler(examples), workers=workers))
    assert len(expected) == len(batches) > 2
    assert all(map(equal, expected, batches))
    assert [name for name in TENSORS if getattr(batches[0], name).is_shared()] == [
        "waveforms"
    ]


@pytest.mark.skipif(not has_sigchld(), reason="Windows does not signal the end of a worker")
def test_a_killed_worker_raises_only_while_a_batch_is_awaited(examples):
    loader = Loader(SpeechDataset(examples), sampler(examples), workers=1)
    other_processes = psutil.Process().children()
    batches = list(loader)
    (worker,) = set(psutil.Process().children()) - set(other_processes)
    worker.kill()
    while worker.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    signal.raise_signal(signal.SIGCHLD)
    assert len(list(Loader(SpeechDataset(examples), sampler(examples)))) == len(batches)
    with pytest.raises(
        WorkerError, match=r"a data worker was killed, .*; use fewer workers"
    ):
        list(loader)
    del loader
    gc.collect()  # torch remembers the worker until the loader is deleted


def test_a_killed_worker_is_noticed_without_sigchld(examples, monkeypatch):
    monkeypatch.delattr(signal, "SIGCHLD", raising=False)
    monkeypatch.setattr("torch.utils.data._utils.signal_handling.IS_WINDOWS", True)
    loader = Loader(SpeechDataset(examples), sampler(examples), workers=1)
    other_processes = psutil.Process().children()
    assert len(list(loader)) == len(
        list(Loader(SpeechDataset(examples), sampler(examples)))
    )
    (worker,) = set(psutil.Process().children()) - set(other_processes)
    worker.kill()
    with pytest.raises(WorkerError, match="a data worker was killed"):
        list(loader)
    del loader
    gc.collect()


def test_spawned_workers_read_the_same_batches(examples):
    dataset = SpeechDataset(examples, augment=Speed(), seed=3)
    loader = Loader(dataset, sampler(examples), workers=1)
    loader.multiprocessing_context = "spawn"  # as on macOS and Windows
    assert all(map(equal, loader, Loader(dataset, sampler(examples))))


@pytest.mark.skipif(sys.platform != "linux", reason="a forked worker has the patch")
def test_a_full_shared_memory_is_one_line(examples, monkeypatch, capsys):
    def fail(_):
        raise RuntimeError("unable to allocate shared memory: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", fail)
    with pytest.raises(WorkerError) as caught:
        list(Loader(SpeechDataset(examples), sampler(examples), workers=1))
    print_user_error("asr.train", caught.value, verbose=False)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "asr.train: shared memory (/dev/shm) is full: unable to allocate"
    )
    assert "Use workers=0" in line


def test_a_system_that_cannot_start_workers_reads_in_one_process(
    examples, without_semaphores, caplog
):
    loaders = [
        Loader(SpeechDataset(examples), sampler(examples), workers=2) for _ in range(2)
    ]
    assert [loader.num_workers for loader in loaders] == [0, 0]
    assert len(list(loaders[0])) > 2
    (message,) = caplog.messages
    assert message.startswith("this system cannot start worker processes ([Errno")


def test_persistent_workers_follow_set_epoch(examples):
    dataset, shared = SpeechDataset(examples, augment=Speed(), seed=3), sampler(examples)
    loader = Loader(dataset, shared, workers=1)
    first = list(loader)
    shared.set_epoch(1)
    second = list(loader)
    assert all(map(equal, second, Loader(dataset, shared)))
    assert {u for batch in first for u in batch.utterances} == {
        u for batch in second for u in batch.utterances
    }


def test_augmentation_depends_only_on_seed_epoch_and_index(examples):
    dataset = SpeechDataset(examples, augment=Speed(), seed=3)
    lengths = dataset[items(0, 1, 2, 3, 4, 5)].lengths
    assert torch.equal(dataset[items(5, 4, 3, 2, 1, 0)].lengths.flip(0), lengths)
    assert not torch.equal(dataset[items(0, 1, 2, 3, 4, 5, epoch=1)].lengths, lengths)
    other = SpeechDataset(examples, augment=Speed(), seed=4)
    assert not torch.equal(other[items(0, 1, 2, 3, 4, 5)].lengths, lengths)


def test_batches_without_augmentation_are_not_random(examples):
    dataset = SpeechDataset(examples)
    assert equal(dataset[items(0, 1, epoch=0)], dataset[items(0, 1, epoch=5)])


def test_to_moves_every_tensor_and_keeps_the_utterances(examples):
    batch = SpeechDataset(examples)[items(0, 1)]
    moved = batch.to("meta")
    assert all(getattr(moved, name).device.type == "meta" for name in TENSORS)
    assert moved.utterances == batch.utterances
    assert equal(batch.to("cpu"), batch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pin_memory_pins_every_tensor(examples):
    batch = SpeechDataset(examples)[items(0, 1)].pin_memory()
    assert all(getattr(batch, name).is_pinned() for name in TENSORS)
    assert all(
        loaded.waveforms.is_pinned()
        for loaded in Loader(SpeechDataset(examples), sampler(examples), pin_memory=True)
    )


def test_collate_without_examples_returns_an_empty_batch():
    batch = collate([], [("a.wav", "missing")])
    assert len(batch) == 0
    assert batch.failures == (("a.wav", "missing"),)
