"""Workarounds that need no training run. test_resume.py and test_module.py test the others."""

import pytest
import torch

from asr.training.lightning_workarounds import AtomicCheckpointIO


def test_a_failed_write_keeps_the_previous_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)

    def write_half(checkpoint, target, *_, **__):
        target.write_bytes(b"half")
        raise OSError("full")

    monkeypatch.setattr("lightning.fabric.plugins.io.torch_io._atomic_save", write_half)
    with pytest.raises(OSError, match="full"):
        AtomicCheckpointIO().save_checkpoint({"step": 2}, path)
    assert torch.load(path)["step"] == 1
