"""How worker processes start on this system, and how many processors they may use."""

import logging
import multiprocessing
import os
import signal
import sys
from functools import cache
from pathlib import Path

# Libraries of macOS crash after a fork, and Windows cannot fork. Spawned processes import
# everything again and receive pickled objects.
START_METHOD = "fork" if sys.platform == "linux" else "spawn"
MAX_WORKERS = 61 if sys.platform == "win32" else None  # the limit of ProcessPoolExecutor
CGROUP = Path("/sys/fs/cgroup")  # limits of a container or a systemd unit on Linux


@cache
def can_start_workers() -> bool:
    """Return whether this system has semaphores, which workers need, and log the reason if not.

    On Linux they are files in /dev/shm, which some sandboxes lack.
    """
    try:
        multiprocessing.get_context(START_METHOD).Lock()
    except (OSError, ImportError) as error:
        logging.getLogger(__name__).warning(
            "this system cannot start worker processes (%s): using one process", error
        )
        return False
    return True


def has_sigchld() -> bool:
    """Return whether the system signals the end of a child process. Windows does not."""
    return hasattr(signal, "SIGCHLD")


def ignore_interrupts() -> None:
    """Ignore Ctrl-C, which a terminal sends to all processes, so that the main one decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def usable_cpus(cgroup: Path = CGROUP) -> int:
    """Return the number of logical CPUs that this process may use, at least 1.

    The process's affinity and the quota of its control group bound it.
    """
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    count = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, min([count, *_cgroup_quotas(cgroup)]))


def _cgroup_quotas(root: Path) -> list[int]:
    """Return the CPU quotas of this process in cores, rounded up.

    In version 2 of control groups, those of all groups above the process's own count too.
    """
    groups = _read(Path("/proc/self/cgroup")).splitlines()
    own = root.joinpath(
        *(line.removeprefix("0::/") for line in groups if line[:4] == "0::/")
    )
    folders = [folder for folder in (own, *own.parents) if folder.is_relative_to(root)]
    quotas = [_read(folder / "cpu.max") for folder in folders]
    files = ("cpu.cfs_quota_us", "cpu.cfs_period_us")  # version 1
    quotas.append(" ".join(_read(root / "cpu" / name) for name in files))
    pairs = [
        quota.split() for quota in quotas
    ]  # microseconds, and the period in which they count
    return [-(-int(p[0]) // int(p[1])) for p in pairs if len(p) == 2 and p[0].isdecimal()]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
