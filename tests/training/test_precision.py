"""The precision of a training on each kind of device."""

import pytest
import torch

from asr.errors import ConfigError
from asr.training import precision
from asr.training.precision import (
    has_fast_bfloat16,
    resolve_precision,
    slow_precision_warning,
    training_device,
)

CPU, CUDA, MPS = map(torch.device, ("cpu", "cuda", "mps"))


@pytest.fixture
def fast(monkeypatch):
    """Return a function that decides whether devices have bfloat16."""
    return lambda value: monkeypatch.setattr(
        precision, "has_fast_bfloat16", lambda _: value
    )


def test_auto_is_bfloat16_where_it_is_fast_and_safe_elsewhere(fast):
    fast(True)
    assert resolve_precision("auto", CPU) == resolve_precision("auto", CUDA) == "bf16-mixed"
    fast(False)
    assert resolve_precision("auto", CPU) == resolve_precision("auto", MPS) == "32-true"
    assert resolve_precision("auto", CUDA) == "16-mixed"


def test_a_requested_precision_is_kept(fast):
    fast(False)
    assert resolve_precision("bf16-mixed", CPU) == "bf16-mixed"
    assert resolve_precision("32-true", CUDA) == "32-true"


@pytest.mark.parametrize("wrong", ["16-true", "bf16", 16, None])
def test_an_unknown_precision_is_rejected(wrong):
    with pytest.raises(ConfigError, match=r"must be auto, 32-true, .* got"):
        resolve_precision(wrong, CPU)


def test_float16_on_a_cpu_is_rejected():
    with pytest.raises(ConfigError, match="16-mixed needs a GPU"):
        resolve_precision("16-mixed", CPU)


def test_emulated_bfloat16_gives_one_line_with_the_alternative(fast):
    fast(False)
    line = slow_precision_warning("bf16-mixed", CPU)
    assert "neither AVX512-BF16 nor AMX" in line
    assert "trainer.precision=auto, which is 32-true here" in line
    assert slow_precision_warning("32-true", CPU) is None
    fast(True)
    assert slow_precision_warning("bf16-mixed", CPU) is None


def test_a_cpu_with_only_avx2_has_no_fast_bfloat16(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    assert not has_fast_bfloat16(CPU)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert has_fast_bfloat16(CPU)
    assert not has_fast_bfloat16(MPS)


@pytest.mark.parametrize(
    ("accelerator", "cuda", "mps", "device"),
    [
        ("auto", True, False, "cuda"),
        ("auto", False, True, "mps"),
        ("auto", False, False, "cpu"),
        ("gpu", True, True, "cuda"),
        ("cpu", True, True, "cpu"),
    ],
)
def test_the_device_is_the_one_that_lightning_chooses(
    monkeypatch, accelerator, cuda, mps, device
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert training_device(accelerator).type == device


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_with_bfloat16_trains_a_gru_in_it():
    capable = torch.cuda.get_device_capability() >= (8, 0)
    assert resolve_precision("auto", CUDA) == ("bf16-mixed" if capable else "16-mixed")
