"""The precision of a training: what `trainer.precision=auto` stands for on each device."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from asr.errors import ConfigError


def training_device(accelerator: str) -> torch.device:
    """Return the device that Lightning chooses for an accelerator."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.device("cuda")
    if accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return the precision that a setting stands for on a device.

    "auto" is the fastest precision that trains equally well: bf16-mixed on a GPU or CPU with
    bfloat16 instructions, 16-mixed on another GPU, and 32-true everywhere else. The recurrence of
    a GRU on a CPU stays in float32 in all of them.

    Raises:
        ConfigError: If training does not support the precision.
    """
    if precision == "auto":
        if has_fast_bfloat16(device):
            return "bf16-mixed"
        return "16-mixed" if device.type == "cuda" else "32-true"
    if precision not in ("32-true", "bf16-mixed", "16-mixed"):
        raise ConfigError(
            f"trainer.precision must be auto, 32-true, bf16-mixed, or 16-mixed, got {precision}"
        )
    if precision == "16-mixed" and device.type == "cpu":
        raise ConfigError(
            "trainer.precision=16-mixed needs a GPU; use auto, 32-true, or bf16-mixed"
        )
    return precision


def slow_precision_warning(precision: str, device: torch.device) -> str | None:
    """Return a line about a precision that the device can only emulate, or None."""
    if precision != "bf16-mixed" or has_fast_bfloat16(device):
        return None
    if device.type == "cpu":
        return (
            "trainer.precision=bf16-mixed is slow: this CPU has neither AVX512-BF16 nor AMX. "
            "Use trainer.precision=auto, which is 32-true here"
        )
    return (
        f"trainer.precision=bf16-mixed is slow: {torch.cuda.get_device_name(device)} or its "
        "cuDNN lacks bfloat16. Use trainer.precision=auto, which is 16-mixed here"
    )


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether a device has instructions for products and recurrences in bfloat16."""
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if device.type != "cuda" or not torch.cuda.is_bf16_supported(including_emulation=False):
        return False
    rnn = nn.GRU(8, 8, device=device, dtype=torch.bfloat16)
    try:  # cuDNN before 9.13 has no recurrent layers in bfloat16
        rnn(pack_sequence([torch.zeros(1, 8, device=device, dtype=torch.bfloat16)]))
    except RuntimeError:
        return False
    return True
