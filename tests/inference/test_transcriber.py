"""The transcriber: recordings and batches to hypotheses."""

import numpy as np
import pytest
import soundfile

import asr
from asr.decode.hypothesis import Hypothesis
from asr.errors import AudioError, ModelError
from asr.inference.transcriber import Transcriber


@pytest.fixture
def transcriber(build):
    return Transcriber(build())


def test_asr_load_returns_a_transcriber(build, recording, transcriber, tmp_path):
    build().save(tmp_path / "model.safetensors")
    path = recording("a.flac", 0.7)
    model = asr.load(tmp_path / "model.safetensors", engine="torch")
    assert model.transcribe(path) == transcriber.transcribe(path)
    with pytest.raises(ModelError, match="no such model"):
        asr.load(tmp_path / "none.safetensors")


def test_a_path_a_string_and_bytes_give_the_same_hypothesis(recording, transcriber):
    path = recording("a.wav", 0.7)
    hypothesis = transcriber.transcribe(path)
    assert hypothesis.words
    assert hypothesis == transcriber.transcribe(str(path))
    assert hypothesis == transcriber.transcribe(path.read_bytes())


def test_a_clip_of_three_samples_has_no_words(tmp_path, transcriber):
    soundfile.write(tmp_path / "a.wav", np.array([0.1, -0.2, 0.3]), 16_000)
    hypothesis = transcriber.transcribe(tmp_path / "a.wav")
    assert (hypothesis.text, hypothesis.words) == ("", ())


def test_digital_silence_has_a_finite_score(tmp_path, transcriber):
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    assert np.isfinite(transcriber.transcribe(tmp_path / "a.wav").score)


def test_an_unreadable_recording_raises_an_audio_error(tmp_path, transcriber):
    with pytest.raises(AudioError, match="no such file"):
        transcriber.transcribe(tmp_path / "a.wav")


def test_a_batch_gives_the_hypotheses_of_its_recordings(utterances, transcriber):
    waveforms = [asr.audio.load(utterance.audio) for utterance in utterances]
    emissions = transcriber.model.compute_emissions(waveforms)
    hypotheses = transcriber.decode(emissions)
    for utterance, hypothesis in zip(utterances, hypotheses, strict=True):
        alone = transcriber.transcribe(utterance.audio)
        assert hypothesis.text == alone.text
        assert hypothesis.score == pytest.approx(alone.score, abs=1e-4)


def test_the_decoder_can_be_replaced(build, recording):
    def decode(emissions, tokenizer):
        return [Hypothesis(f"{emissions.log_probs.shape[2]} {len(tokenizer)}", 0.0)]

    assert Transcriber(build(), decode).transcribe(recording("a.wav", 0.3)).text == "29 29"


def test_the_model_is_in_evaluation_mode(build, recording):
    model = build(dropout=0.9).train()
    transcriber, path = Transcriber(model), recording("a.wav", 0.5)
    assert transcriber.transcribe(path) == transcriber.transcribe(path)
    assert not model.training
