"""Audio and pictures of utterances in data URIs."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from asr.data.manifest import Utterance
from asr.decode.hypothesis import Hypothesis
from asr.evaluation import examples
from asr.evaluation.report import Result
from asr.evaluation.wer import score_utterance
from asr.nn.mel import mel_edges

MAX_BYTES = 400_000  # of an example; 50 of them fit into 20 MB


def content(uri: str, kind: str) -> io.BytesIO:
    head, _, body = uri.partition(",")
    assert head == f"data:{kind};base64"
    return io.BytesIO(base64.b64decode(body))


def picture(uri: str, kind: str) -> np.ndarray:
    return np.array(Image.open(content(uri, kind)))


def result(path: Path, seconds: float) -> Result:
    utterance = Utterance(path, seconds, "a")
    return Result(utterance, Hypothesis("b", -1.0), score_utterance("a", "b"))


@pytest.mark.parametrize("seconds", [0.01, 1.0, 30.0])
def test_audio_keeps_its_length_and_its_sound(sound, seconds):
    waveform = sound(seconds)
    decoded, rate = soundfile.read(content(examples.encode_opus(waveform), "audio/ogg"))
    assert (len(decoded), rate) == (len(waveform), 16_000)
    if seconds >= 1:
        assert np.corrcoef(decoded, waveform)[0, 1] > 0.8


def test_a_tone_is_bright_at_its_frequency(sound):
    time = np.arange(16_000) / 16_000
    waveform = np.concatenate([0 * time, np.sin(2 * np.pi * 440 * time)])
    pixels = picture(examples.draw_log_mel(waveform.astype(np.float32)), "image/webp")
    brightness = pixels.astype(int).sum(axis=-1)  # (F, T)
    assert brightness.shape == (80, 99)
    silent, tone = brightness[:, :45], brightness[:, 55:]
    assert silent.max() < tone.max() / 3
    band = 79 - tone.mean(axis=1).argmax()
    assert mel_edges(80)[band] < 440 < mel_edges(80)[band + 2]


def test_opacity_is_probability():
    log_probs = np.log(np.array([[1.0, 1e-9], [0.5, 0.5], [1e-9, 1.0]]))  # (U, rows)
    pixels = picture(examples.draw_emissions(log_probs), "image/png")
    assert pixels[..., 3] == pytest.approx(255 * np.exp(log_probs.T), abs=9)
    assert examples.draw_emissions(log_probs[:0]) == ""


def test_likely_tokens_are_sorted_with_the_blank_last_and_limited(monkeypatch):
    probabilities = np.full((4, 5), 0.01)
    probabilities[[0, 1, 2, 3], [3, 1, 3, 0]] = 0.96
    assert examples.likely_tokens(np.log(probabilities)) == [1, 3, 0]
    monkeypatch.setattr(examples, "MAX_ROWS", 2)
    assert examples.likely_tokens(np.log(probabilities)) == [3, 0]


def test_an_example_of_the_longest_length_is_small(build, tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(40 * 16_000)
    soundfile.write(tmp_path / "noise.wav", noise, 16_000)
    (example,) = examples.load_examples([result(tmp_path / "noise.wav", 40.0)], build())
    assert example.seconds == 30.0
    assert len(example.audio + example.log_mel + example.emissions) < MAX_BYTES


def test_unreadable_and_very_short_recordings_do_not_stop_the_others(
    build, recording, tmp_path
):
    results = [
        result(tmp_path / "none.wav", 1.0),
        result(recording("short.wav", 0.01), 0.01),
        result(recording("good.wav", 0.5), 0.5),
    ]
    missing, short, good = examples.load_examples(results, build())
    assert "no such file" in missing.problem
    assert missing.audio == missing.log_mel == ""
    assert short.audio and short.log_mel and not short.emissions and not short.tokens
    assert good.tokens[-1] == "blank" and good.emissions and not good.problem


def test_audio_that_cannot_be_encoded_is_a_problem_of_one_example(
    build, recording, monkeypatch
):
    def fail(_):
        raise soundfile.LibsndfileError(1)

    monkeypatch.setattr(examples, "encode_opus", fail)
    (example,) = examples.load_examples([result(recording("a.wav", 0.5), 0.5)], build())
    assert example.problem and not example.audio
