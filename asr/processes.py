"""How worker processes start on this system."""

import logging
import multiprocessing
import signal
import sys
from functools import cache

# Libraries of macOS crash after a fork, and Windows cannot fork. Spawned processes import
# everything again and receive pickled objects.
START_METHOD = "fork" if sys.platform == "linux" else "spawn"
MAX_WORKERS = 61 if sys.platform == "win32" else None  # the limit of ProcessPoolExecutor


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
