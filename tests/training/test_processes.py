"""Several processes that train together do what one would."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

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


def recogniser() -> CTCModule:
    torch.manual_seed(0)
    model = CTCModel(
        features={"_target_": "asr.nn.features.LogMel"},
        encoder=ENCODER,
        tokenizer=Tokenizer.english(),
    )
    module = CTCModule(
        model=model, optimizer=torch.optim.SGD, scheduler=torch.optim.lr_scheduler.LRScheduler
    )
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    return module


def examples(utterances: list[Utterance]) -> SpeechDataset:
    return SpeechDataset(keep_all(utterances, Tokenizer.english()).examples)


def trained(
    dataset: SpeechDataset, batches: list[list[list[int]]]
) -> tuple[list[float], list[torch.Tensor]]:
    """Losses and weights after a step of gradient descent for each of `batches`, of which a process takes its own."""
    module, losses = recogniser(), []
    parameters = list(module.model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.05)
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    for shares in batches:
        mine = shares[rank] if world > 1 else [i for share in shares for i in share]
        loss = module.training_step(dataset[[(i, 0) for i in mine]], 0)
        assert loss is not None
        optimizer.zero_grad()
        loss.backward()
        total = loss.detach() / world
        if world > 1:
            dist.all_reduce(total)
            for p in parameters:  # what DistributedDataParallel does
                dist.all_reduce(p.grad)
                p.grad /= world
        module._weigh(1)  # as before each step of the optimizer
        optimizer.step()
        losses.append(float(total))
    return losses, [p.detach() for p in parameters]


def in_process(
    rank: int, port: int, dataset: SpeechDataset, batches: list[list[list[int]]], out: str
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    found = trained(dataset, batches)
    if rank == 0:
        torch.save(found, out)
    dist.destroy_process_group()


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_two_processes_take_the_steps_of_one_with_the_same_global_batch(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    dataset = examples([*utterances, Utterance(tmp_path / "gone.wav", 1.0, "lost")])
    gone = len(utterances)
    # unequal shares, one of them unreadable: the other process must not wait for it in vain
    batches = [[[0, 1], [3, 4, 5]], [[1], [2, 3]], [[gone], [0, 4]]]
    losses, weights = trained(dataset, batches)
    spawn(in_process, (free_port(), dataset, batches, str(tmp_path / "found.pt")), nprocs=2)
    shared_losses, shared_weights = torch.load(tmp_path / "found.pt")
    assert shared_losses == pytest.approx(losses, abs=1e-5)
    for ours, theirs in zip(shared_weights, weights, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("world", [2, 3, 8])
def test_an_epoch_is_shared_out_whole_evenly_and_at_like_cost(world: int) -> None:
    durations = (torch.rand(997, generator=torch.Generator().manual_seed(0)) * 14 + 1).tolist()
    samplers = [BucketSampler(durations, batch_seconds=60, seed=3) for _ in range(world)]
    for rank, sampler in enumerate(samplers):
        sampler.shard(rank, world)
    shares = [sampler.batches(2) for sampler in samplers]
    assert sorted(int(i) for share in shares for batch in share for i in batch) == list(range(997))
    assert {len(share) for share in shares} == {len(sampler) for sampler in samplers}
    costs = [[max(durations[i] for i in batch) * len(batch) for batch in share] for share in shares]
    steps = list(zip(*costs, strict=True))
    waited = sum(max(step) for step in steps) / sum(sum(step) / world for step in steps)
    assert waited < 1.08


def test_a_run_by_two_processes_scores_every_utterance_once(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "asr.train",
        f"data.root={corpus}",
        f"dir={folder}",
        "data.workers=0",
    ]
    command += [
        "trainer=ddp",
        "trainer.accelerator=cpu",
        "trainer.devices=2",
        "trainer.max_epochs=1",
        "data.limit=30",
    ]
    command += ["model.hidden_size=16", "model.num_layers=1", "callbacks.plots=null", "logger=csv"]
    finished = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("M parameters") == 1
    summary = json.loads((folder / "summary.json").read_text())
    validation = read_manifest(corpus / "manifests" / "synthetic" / "validation.jsonl")[:30]
    assert f"on {len(validation)} validation utterances" in finished.stdout
    assert (folder / "model.safetensors").is_file()
    assert summary["epochs"] == 1
    assert not (tmp_path / "run-1").exists()


def test_a_process_that_dies_ends_the_run_with_a_line(corpus: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "asr.train",
        f"data.root={corpus}",
        f"dir={tmp_path / 'run'}",
        "data.workers=0",
    ]
    command += [
        "trainer=ddp",
        "trainer.accelerator=cpu",
        "trainer.devices=2",
        "trainer.max_epochs=1000",
    ]
    command += ["model.hidden_size=16", "model.num_layers=1", "callbacks.plots=null", "logger=csv"]
    run = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    for _ in range(1200):
        if checkpoint.exists() or run.poll() is not None:
            break
        time.sleep(0.1)
    assert checkpoint.exists()
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    (other,) = [
        pid for pid in children if b"asr.train" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(int(other), signal.SIGKILL)
    complaint = run.communicate(timeout=60)[1]
    assert run.returncode == 2, complaint
    assert "another process of this training has ended" in complaint.splitlines()[-1]
    assert "Traceback" not in complaint
