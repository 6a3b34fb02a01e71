"""The number of threads and what they do without work."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from asr.config.app import compose
from asr.config.environment import set_threads
from asr.errors import ConfigError
from asr.processes import usable_cpus

CODE = """
import sys
from asr.config.app import compose
from asr.config.environment import set_threads
set_threads(compose("transcribe", sys.argv[1:]))
import os, torch
print(torch.get_num_threads(), os.environ["OMP_WAIT_POLICY"])
"""


def threads_of_torch(*overrides, **variables):
    """Return the threads of torch and their wait policy in a new process."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")}
    process = subprocess.run(
        [sys.executable, "-c", CODE, *overrides],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    threads, policy = process.stdout.split()
    return int(threads), policy


def test_torch_uses_every_physical_core_with_threads_that_sleep():
    physical = psutil.cpu_count(logical=False) or usable_cpus()
    assert threads_of_torch() == (min(physical, usable_cpus()), "passive")


def test_the_settings_and_the_variables_of_the_user_decide():
    assert threads_of_torch("cpu.threads=3", "cpu.wait_policy=active") == (3, "active")
    variables = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "active"}
    assert threads_of_torch(**variables) == (1, "active")
    assert threads_of_torch("cpu.threads=3", **variables) == (3, "active")


def test_a_running_torch_changes_its_threads(monkeypatch):
    import torch

    before = torch.get_num_threads()
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # restored after the test
    try:
        set_threads(compose("train", [f"cpu.threads={before + 1}"]))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("value", ["0", "many", "1.5", "true"])
def test_a_wrong_number_of_threads_is_rejected(value):
    with pytest.raises(
        ConfigError, match=r"cpu\.threads must be auto or an integer >= 1, got"
    ):
        compose("train", [f"cpu.threads={value}"])


@pytest.mark.parametrize(("workers", "reserved"), [(0, 0), (1, 1), (3, 1)])
def test_data_workers_have_a_core_of_their_own(monkeypatch, workers, reserved):
    set_affinity(monkeypatch, usable_cpus() + 1)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    set_threads(compose("train", [f"data.workers={workers}"]))
    assert int(os.environ["OMP_NUM_THREADS"]) == usable_cpus() - reserved


def set_affinity(monkeypatch, affinity):
    monkeypatch.setattr(
        os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False
    )


@pytest.mark.parametrize(
    ("affinity", "quota", "cpus"),
    [
        (3, "max 100000", 3),
        (16, "250000 100000", 3),
        (16, "50000 100000", 1),
        (2, "800000 100000", 2),
    ],
)
def test_affinity_and_quota_bound_the_number_of_cpus(
    monkeypatch, tmp_path, affinity, quota, cpus
):
    set_affinity(monkeypatch, affinity)
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert usable_cpus(cgroup=tmp_path) == cpus


def test_the_quota_of_the_first_version_of_control_groups_counts(monkeypatch, tmp_path):
    set_affinity(monkeypatch, 16)
    folder = tmp_path / "cpu"
    folder.mkdir()
    (folder / "cpu.cfs_quota_us").write_text("400000\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cpus(cgroup=tmp_path) == 4
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert usable_cpus(cgroup=tmp_path) == 16


def test_a_system_without_control_groups_has_no_quota(monkeypatch):
    set_affinity(monkeypatch, 5)
    assert usable_cpus(cgroup=Path("/missing")) == 5


def test_a_run_of_a_sweep_does_not_keep_the_threads_of_the_one_before(monkeypatch):
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("asr.config.environment._written", {})
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    set_threads(compose("transcribe", ["cpu.threads=1", "cpu.wait_policy=active"]))
    set_threads(compose("transcribe", []))
    assert os.environ["OMP_NUM_THREADS"] == str(usable_cpus())
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # of the user
    set_threads(compose("transcribe", []))
    assert os.environ["OMP_NUM_THREADS"] == "7"
