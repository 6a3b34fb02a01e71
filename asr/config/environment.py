"""Settings of torch and numpy that must be made before they start: memory and threads."""

import os
import sys
from typing import TYPE_CHECKING

from asr.processes import usable_cpus

if TYPE_CHECKING:
    from omegaconf import DictConfig


_written: dict[str, str] = {}  # variables that an earlier run of a sweep has set


def set_library_defaults() -> None:
    """Set the variables below unless the user did. Call this before torch and numpy start."""
    # torch caches up to 1024 CPU kernels of each kind, one per input shape. Batches rarely repeat
    # a shape, so the cache grows through the whole training. A training step needs about 40
    # kernels. torch reads both variables when it creates the first kernel.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    os.environ.setdefault("LRU_CACHE_CAPACITY", "64")
    # numpy requests huge pages for arrays above 4 MB. torch reuses that memory later, and then each
    # small tensor occupies a whole huge page.
    os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")


def set_threads(cfg: "DictConfig") -> None:
    """Apply the group `cpu` of a configuration. Call this before torch starts.

    "auto" keeps the variables OMP_NUM_THREADS and OMP_WAIT_POLICY if the user has set them.
    """
    threads, wait_policy = cfg.cpu.threads, cfg.cpu.wait_policy
    if threads == "auto":  # torch lowers the number to that of the physical cores
        # A data worker interrupts one of the threads, and the others wait for that one.
        reserved = 1 if "data" in cfg and cfg.data.workers else 0
        threads = _user_value("OMP_NUM_THREADS") or max(1, usable_cpus() - reserved)
    else:
        os.environ["MKL_DYNAMIC"] = (
            "FALSE"  # keeps the number even if there are fewer cores
        )
    if wait_policy == "auto":
        # A thread that spins needs a core even if another process has work for it. On a busy
        # machine, spinning makes a training several times as slow.
        wait_policy = _user_value("OMP_WAIT_POLICY") or "passive"
    for name, value in (
        ("OMP_NUM_THREADS", str(threads)),
        ("OMP_WAIT_POLICY", wait_policy),
    ):
        if os.environ.get(name) != value:
            os.environ[name] = _written[name] = value
    if "torch" in sys.modules:  # a later run of a sweep
        sys.modules["torch"].set_num_threads(int(threads))


def _user_value(name: str) -> str | None:
    """Return a variable of the environment unless this process has set it."""
    value = os.environ.get(name)
    return None if value == _written.get(name) else value
