"""Environment variables that bound the memory of torch and numpy."""

import os


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
