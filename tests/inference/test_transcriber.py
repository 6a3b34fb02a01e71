"""Recordings in, hypotheses out."""

import numpy as np
import pytest
import soundfile

import asr
from asr.data.dataset import collate
from asr.data.filter import Example
from asr.decode import Hypothesis
from asr.errors import AudioError, ModelError
from asr.inference.transcriber import Transcriber


@pytest.fixture
def transcriber(build):
    return Transcriber(build())


def test_asr_load_reads_a_model_that_transcribes(build, recording, transcriber, tmp_path):
    build().save(tmp_path / "model.safetensors")
    path = recording("a.flac", 0.7)
    assert asr.load(tmp_path / "model.safetensors").transcribe(path) == transcriber.transcribe(path)
    with pytest.raises(ModelError, match="no such model"):
        asr.load(tmp_path / "none.safetensors")


def test_a_path_its_name_and_its_bytes_are_heard_alike(recording, transcriber):
    path = recording("a.wav", 0.7)
    heard = transcriber.transcribe(path)
    assert heard.words
    assert heard == transcriber.transcribe(str(path)) == transcriber.transcribe(path.read_bytes())


def test_a_clip_of_three_samples_has_no_words(tmp_path, transcriber):
    soundfile.write(tmp_path / "a.wav", np.array([0.1, -0.2, 0.3]), 16_000)
    heard = transcriber.transcribe(tmp_path / "a.wav")
    assert (heard.text, heard.words) == ("", ())


def test_digital_silence_is_heard_without_a_failure(tmp_path, transcriber):
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    assert np.isfinite(transcriber.transcribe(tmp_path / "a.wav").score)


def test_a_recording_that_cannot_be_read_is_an_audio_error(tmp_path, transcriber):
    with pytest.raises(AudioError, match="no such file"):
        transcriber.transcribe(tmp_path / "a.wav")


def test_a_batch_is_heard_as_its_recordings_one_by_one(utterances, transcriber):
    waveforms = [asr.audio.load(utterance.audio) for utterance in utterances]
    batch = collate([Example(utterance, ()) for utterance in utterances], waveforms)
    for utterance, heard in zip(utterances, transcriber.transcribe_batch(batch), strict=True):
        alone = transcriber.transcribe(utterance.audio)
        assert heard.text == alone.text
        assert heard.score == pytest.approx(alone.score, abs=1e-4)
    assert transcriber.transcribe_batch(collate([], [])) == []


def test_another_decoder_can_be_given(build, recording):
    def decode(emissions, tokenizer):
        return [Hypothesis(f"{emissions.log_probs.shape[2]} {len(tokenizer)}", 0.0)]

    assert Transcriber(build(), decode).transcribe(recording("a.wav", 0.3)).text == "29 29"


def test_dropout_is_off_and_no_gradients_are_kept(build, recording):
    model = build(dropout=0.9).train()
    transcriber, path = Transcriber(model), recording("a.wav", 0.5)
    assert not model.training
    assert transcriber.transcribe(path) == transcriber.transcribe(path)
