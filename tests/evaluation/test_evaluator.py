"""Recognition of a corpus: windows of long utterances, and batches of the others."""

from functools import partial

import numpy as np
import pytest
import soundfile

from asr import audio
from asr.data.manifest import Utterance
from asr.errors import AudioError
from asr.evaluation import evaluator
from asr.evaluation.evaluator import evaluate_corpus, load_corpus
from asr.evaluation.tuning import CorpusEmissions
from asr.inference import longform
from asr.inference.transcriber import Transcriber
from asr.text import Tokenizer


@pytest.fixture
def model(build):
    return build(features={"normalize": "none"})


@pytest.fixture
def short_windows(monkeypatch):
    """Make windows so short that a recording of a few seconds is long."""
    monkeypatch.setattr(longform, "WINDOW", 1.0)
    narrow = partial(longform.compute_emissions, window=1.0, context=0.2)
    monkeypatch.setattr(longform, "compute_emissions", narrow)


@pytest.fixture
def long(recording):
    return Utterance(recording("long.wav", 8.0), 7.5, "a long talk", offset=0.25)


def load(utterances, **options):
    return load_corpus(utterances, Tokenizer.english(), **options)


@pytest.mark.usefixtures("short_windows")
def test_a_long_utterance_is_computed_in_windows_as_in_transcription(
    model, utterances, long, monkeypatch
):
    sizes = []
    forward = model.forward
    monkeypatch.setattr(
        model, "forward", lambda x, n: sizes.append(x.shape[1]) or forward(x, n)
    )
    evaluation = evaluate_corpus(Transcriber(model), load([*utterances, long]))
    assert max(sizes) < 1.5 * audio.SAMPLE_RATE
    result = evaluation.results[0]
    assert result.utterance == long
    assert all(result.snr is not None for result in evaluation.results)
    emissions = longform.compute_emissions(model, long.audio, offset=0.25, duration=7.5)
    assert result.hypothesis == Transcriber(model).decode(emissions)[0]


@pytest.mark.usefixtures("short_windows")
def test_a_long_utterance_is_read_from_its_channel(model, sound, tmp_path):
    path = tmp_path / "stereo.wav"
    soundfile.write(
        path, np.stack([sound(4.0, seed=1), sound(4.0, seed=2)], axis=1), 16_000
    )
    log_probs = {
        channel: next(
            load([Utterance(path, 4.0, "a", channel=channel)]).compute_emissions(model)
        )
        for channel in (1, 2)
    }
    for channel, (_, emissions) in log_probs.items():
        expected = longform.compute_emissions(model, path, channel=channel)
        assert np.array_equal(emissions.log_probs, expected.log_probs)
    assert not np.array_equal(log_probs[1][1].log_probs, log_probs[2][1].log_probs)


def test_each_utterance_is_scored_once_and_short_ones_are_computed_in_the_same_batches(
    model, utterances, long, monkeypatch
):
    def collect(corpus):
        return {
            utterance: np.asarray(emissions.row(row))
            for group, emissions in corpus.compute_emissions(model)
            for row, utterance in enumerate(group)
        }

    expected = collect(load(utterances, batch_seconds=2.5))
    assert expected.keys() == set(utterances)
    monkeypatch.setattr(longform, "WINDOW", 1.25)
    mixed = collect(load([long, *utterances], batch_seconds=2.5))
    assert mixed.keys() == {long, *utterances}
    for utterance, log_probs in expected.items():
        assert np.array_equal(mixed[utterance], log_probs)


@pytest.mark.usefixtures("short_windows")
def test_tuning_computes_long_utterances_in_windows_too(model, utterances, long):
    corpus = CorpusEmissions.compute(model, load([*utterances, long]))
    group, emissions = corpus.batches[0]
    assert group == (long,)
    expected = longform.compute_emissions(model, long.audio, offset=0.25, duration=7.5)
    assert np.array_equal(emissions.log_probs, expected.log_probs)


@pytest.mark.usefixtures("short_windows")
def test_a_long_utterance_that_cannot_be_read_is_listed_or_raises(
    model, utterances, tmp_path
):
    missing = Utterance(tmp_path / "none.wav", 5.0, "a")
    corpus = load([missing, *utterances])
    evaluation = evaluator.evaluate_corpus(Transcriber(model), corpus)
    assert len(evaluation.results) == len(utterances)
    ((name, reason),) = evaluation.failures
    assert name.endswith("none.wav") and "no such file" in reason
    with pytest.raises(AudioError, match="no such file"):
        evaluate_corpus(Transcriber(model), load([missing], on_error="raise"))
    with pytest.raises(AudioError, match="none of the 1 utterances could be read"):
        evaluate_corpus(Transcriber(model), load([missing]))
