"""Processes that train together give the results of one process."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn
from training_runs import children, finish, start, wait_for_line

from asr.data.dataset import SpeechDataset
from asr.data.filter import keep_all
from asr.data.manifest import Utterance, read_manifest
from asr.data.sampler import BucketSampler
from asr.nn.ctc import CTCModel
from asr.text import Tokenizer
from asr.training.module import CTCModule

ENCODER = {
    "_target_": "asr.nn.encoder.Encoder",
    "channels": 4,
    "hidden_size": 12,
    "num_layers": 1,
    "dropout": 0.0,
}
TWO_PROCESSES = [
    "trainer=ddp",
    "trainer.accelerator=cpu",
    "trainer.devices=2",
    "model.hidden_size=16",
    "logger=csv",
]


def build_module() -> CTCModule:
    torch.manual_seed(0)
    model = CTCModel(
        features={"_target_": "asr.nn.features.LogMel"},
        encoder=ENCODER,
        tokenizer=Tokenizer.english(),
    )
    module = CTCModule(
        model=model,
        optimizer=torch.optim.SGD,
        scheduler=torch.optim.lr_scheduler.LRScheduler,
    )
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    return module


def train_steps(
    dataset: SpeechDataset, batches: list[list[list[int]]]
) -> tuple[list[float], list[torch.Tensor]]:
    """Return the losses and the weights after one step of gradient descent per batch.

    Each batch lists the shares of the processes. A process trains on its own share, and one process
    alone trains on all of them.
    """
    module, losses = build_module(), []
    parameters = list(module.model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.05)
    rank, world = (
        (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    )
    for shares in batches:
        indices = shares[rank] if world > 1 else [i for share in shares for i in share]
        loss = module.training_step(dataset[[(i, 0) for i in indices]], 0)
        assert loss is not None
        optimizer.zero_grad()
        loss.backward()
        total = loss.detach() / world
        if world > 1:
            dist.all_reduce(total)
            for p in parameters:  # as DistributedDataParallel does
                dist.all_reduce(p.grad)
                p.grad /= world
        module._rescale_gradients(1)  # as before each optimizer step
        optimizer.step()
        losses.append(float(total))
    return losses, [p.detach() for p in parameters]


def run_process(
    rank: int, port: int, dataset: SpeechDataset, batches: list[list[list[int]]], out: str
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    results = train_steps(dataset, batches)
    if rank == 0:
        torch.save(results, out)
    dist.destroy_process_group()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_two_processes_take_the_same_steps_as_one_with_the_same_global_batch(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    missing = Utterance(tmp_path / "gone.wav", 1.0, "lost")
    selection = keep_all([*utterances, missing], Tokenizer.english())
    dataset, unreadable = SpeechDataset(selection.examples), len(utterances)
    # unequal shares, one of them unreadable: the other process must not wait for it forever
    batches = [[[0, 1], [3, 4, 5]], [[1], [2, 3]], [[unreadable], [0, 4]]]
    losses, weights = train_steps(dataset, batches)
    out = str(tmp_path / "results.pt")
    spawn(run_process, (free_port(), dataset, batches, out), nprocs=2)
    shared_losses, shared_weights = torch.load(out)
    assert shared_losses == pytest.approx(losses, abs=1e-5)
    for shared, single in zip(shared_weights, weights, strict=True):
        torch.testing.assert_close(shared, single, atol=1e-5, rtol=0)


@pytest.mark.parametrize("world", [2, 3, 8])
def test_processes_share_an_epoch_completely_evenly_and_at_similar_cost(world: int) -> None:
    durations = (
        torch.rand(997, generator=torch.Generator().manual_seed(0)) * 14 + 1
    ).tolist()
    samplers = [BucketSampler(durations, batch_seconds=60, seed=3) for _ in range(world)]
    for rank, sampler in enumerate(samplers):
        sampler.shard(rank, world)
    shares = [sampler.batches(2) for sampler in samplers]
    assert sorted(int(i) for share in shares for batch in share for i in batch) == list(
        range(997)
    )
    assert {len(share) for share in shares} == {len(sampler) for sampler in samplers}
    costs = [
        [max(durations[i] for i in batch) * len(batch) for batch in share]
        for share in shares
    ]
    steps = list(zip(*costs, strict=True))
    waited = sum(max(step) for step in steps) / sum(sum(step) / world for step in steps)
    assert waited < 1.08


def test_two_processes_score_every_utterance_once(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    settings = [*TWO_PROCESSES, "trainer.max_epochs=1", "data.limit=30"]
    process = start(corpus, folder, *settings, OMP_NUM_THREADS="1")
    output = finish(process)
    assert process.returncode == 0, output
    assert output.count("M parameters") == 1
    summary = json.loads((folder / "summary.json").read_text())
    validation = read_manifest(corpus / "manifests" / "synthetic" / "validation.jsonl")[:30]
    assert f"on {len(validation)} validation utterances" in output
    assert (folder / "model.safetensors").is_file()
    assert summary["epochs"] == 1
    assert not (tmp_path / "run-1").exists()


def test_a_lost_process_ends_the_run_with_one_line(corpus: Path, tmp_path: Path) -> None:
    settings = [*TWO_PROCESSES, "trainer.max_epochs=1000"]
    process = start(corpus, tmp_path / "run", *settings, OMP_NUM_THREADS="1")
    wait_for_line(process, "epoch 2/")
    (other,) = children(process)
    os.kill(other, signal.SIGKILL)
    output = finish(process)
    assert process.returncode == 2, output
    assert "another process of this training has ended" in output.splitlines()[-1]
    assert "Traceback" not in output
