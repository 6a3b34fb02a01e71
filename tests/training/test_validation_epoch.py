"""Results of a validation epoch."""

import numpy as np
import pytest
import soundfile
import torch

from asr.data.dataset import SpeechDataset
from asr.data.filter import keep_all
from asr.data.manifest import Utterance
from asr.decode.hypothesis import Hypothesis, Word
from asr.text import Tokenizer
from asr.training.validation import Validation


def test_validation_fits_how_far_words_extend_beyond_their_tokens(build, sound, tmp_path):
    noise = 1e-4 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    noise[8_000:24_000] += sound(1.0)  # speech from 0.5 to 1.5 s
    soundfile.write(tmp_path / "a.wav", noise, 16_000)
    utterances = [Utterance(tmp_path / "a.wav", 2.0, "a b")]
    dataset = SpeechDataset(keep_all(utterances, Tokenizer.english()).examples)
    validation = Validation(build(dropout=0.0), num_batches=1)
    words = (Word("a", 0.72, 0.8, 1.0), Word("b", 1.2, 1.4, 1.0))
    validation.decode = lambda emissions, tokenizer: [Hypothesis("a b", 0.0, words)]
    validation.update(dataset[[(0, 0)]], torch.tensor([True]), 0)
    validation.fit_model()
    assert validation.model.boundary_offsets.lead == pytest.approx(0.22, abs=0.05)
    assert validation.model.boundary_offsets.tail == pytest.approx(0.1, abs=0.05)


def test_samples_come_from_evenly_spaced_batches(build, utterances):
    dataset = SpeechDataset(keep_all(utterances, Tokenizer.english()).examples)
    validation = Validation(build(dropout=0.0), num_batches=12)
    for i in range(12):
        batch = dataset[[(i % 6, 0), (0, 0)]]
        validation.update(batch, torch.tensor([False, False]), i)
    assert [sample.name for sample in validation.samples] == [
        "0.wav",
        "3.wav",
        "0.wav",
        "3.wav",
    ]
