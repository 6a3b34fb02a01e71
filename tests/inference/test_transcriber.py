"""The transcriber: recordings and batches to hypotheses."""

import io
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import torch

import asr
from asr import audio
from asr.decode.hypothesis import Hypothesis
from asr.errors import AudioError, ConfigError, ModelError
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
    waveforms = [audio.load(utterance.audio) for utterance in utterances]
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


def test_samples_and_file_objects_give_the_transcript_of_their_file(recording, transcriber):
    path = recording("a.wav", 0.7, rate=8_000)
    expected = transcriber.transcribe(path)
    samples, rate = soundfile.read(path, dtype="float32")
    integers, _ = soundfile.read(path, dtype="int16")
    tensor = torch.tensor(samples, requires_grad=True)
    for source in (samples, samples[None], integers, tensor, samples.astype(float)):
        assert transcriber.transcribe(source, sample_rate=rate) == expected
    with path.open("rb") as file:
        assert transcriber.transcribe(file) == expected
    stereo = np.stack([np.zeros_like(samples), samples])
    assert transcriber.transcribe(stereo, sample_rate=rate, channel=2) == expected
    assert [
        t.channel for t in transcriber.transcribe_channels(stereo, sample_rate=rate)
    ] == [1, 2]


def test_audio_of_a_wrong_type_is_refused(transcriber):
    with pytest.raises(TypeError, match="got list"):
        transcriber.transcribe([0.1, 0.2], sample_rate=16_000)
    with pytest.raises(TypeError, match="must be binary"):
        transcriber.transcribe(io.StringIO("text"))
    with pytest.raises(ValueError, match="pass sample_rate"):
        transcriber.transcribe(np.zeros(16_000))
    for shape in ((16_000, 2), (1, 1, 16_000)):
        with pytest.raises(ValueError, match=r"samples must be \(S,\)"):
            transcriber.transcribe(np.zeros(shape), sample_rate=16_000)
    with pytest.raises(AudioError, match="NaN"):
        transcriber.transcribe(np.full(16_000, np.nan), sample_rate=16_000)
    with pytest.raises(AudioError, match="implausible"):
        transcriber.transcribe(np.full(16_000, 1e29), sample_rate=16_000)
    with pytest.raises(TypeError, match="got complex"):
        transcriber.transcribe(np.ones(16_000, complex), sample_rate=16_000)
    with pytest.raises(ValueError, match="own rate"):
        transcriber.transcribe("a.wav", sample_rate=16_000)
    with pytest.raises(AudioError, match="no channel 2"):
        transcriber.transcribe(np.zeros(16_000), sample_rate=16_000, channel=2)


def test_many_recordings_are_transcribed_in_order_and_unreadable_ones_give_errors(
    recording, transcriber, tmp_path
):
    paths = [recording(f"{i}.wav", 0.4 + 0.3 * (i % 5), seed=i) for i in range(12)]
    paths.insert(4, tmp_path / "none.wav")
    results = list(transcriber.transcribe_many(iter(paths)))
    assert isinstance(results.pop(4), AudioError)
    del paths[4]
    for path, result in zip(paths, results, strict=True):
        alone = transcriber.transcribe(path)
        assert (result.text, result.duration) == (alone.text, alone.duration)
        assert result.score == pytest.approx(alone.score, abs=1e-3)


def test_many_recordings_share_batches(recording, transcriber):
    sizes = []
    transcriber.batcher.on_batch = lambda count, _: sizes.append(count)
    list(transcriber.transcribe_many([recording("a.wav", 0.5)] * 60))
    assert sum(sizes) == 60
    assert max(sizes) > 1


def test_stopping_early_leaves_the_transcriber_usable(recording, transcriber):
    path = recording("a.wav", 0.5)
    results = transcriber.transcribe_many([path] * 300)
    first = next(results)
    results.close()
    assert transcriber.transcribe(path).text == first.text


def test_threads_get_the_transcripts_of_their_own_recordings(recording, transcriber):
    paths = [recording(f"{i}.wav", 0.3 + 0.2 * i, seed=i) for i in range(8)] * 3
    expected = [transcriber.transcribe(path) for path in paths]
    with ThreadPoolExecutor(8) as executor:
        results = list(executor.map(transcriber.transcribe, paths))
    for result, alone in zip(results, expected, strict=True):
        assert (result.text, result.duration) == (alone.text, alone.duration)


def test_silence_is_skipped_and_listed(sound, build):
    clip, pause = sound(2.0), np.zeros(64_000, np.float32)
    waveform = np.concatenate([clip, pause, clip])
    model = build()
    transcript = Transcriber(model).transcribe(waveform, sample_rate=16_000)
    (skipped,) = transcript.skipped
    assert skipped.reason == "silence"
    assert 2.2 < skipped.start < 2.5
    assert 5.5 < skipped.end < 5.8
    assert all(
        w.end <= skipped.start + 0.01 or w.start >= skipped.end for w in transcript.words
    )
    assert transcript.duration == 8.0
    whole = Transcriber(model, vad=False).transcribe(waveform, sample_rate=16_000)
    assert whole.skipped == ()
    assert whole.duration == 8.0


def test_a_decoder_that_needs_whole_recordings_gets_them(sound, build):
    calls = []

    def decode(emissions, tokenizer):
        calls.append(emissions.lengths.tolist())
        return [Hypothesis("", 0.0)]

    decode.needs_whole_recording = True
    waveform = np.concatenate([sound(2.0), np.zeros(64_000, np.float32), sound(2.0)])
    model = build()
    Transcriber(model, decode).transcribe(waveform, sample_rate=16_000)
    assert calls == [[model.num_frames(len(waveform))]]


def test_live_audio_gives_each_segment_when_a_pause_closes_it(sound, transcriber):
    clips = [
        np.concatenate([sound(2.0, seed=i), np.zeros(32_000, np.float32)]) for i in (0, 1)
    ]
    waveform = np.concatenate(clips)
    read = []

    def blocks():
        for begin in range(0, len(waveform), 1600):
            read.append(begin / 16_000)
            yield waveform[begin : begin + 1600]

    segments = transcriber.stream(blocks())
    first = next(segments)
    assert first.start < 2.5
    assert read[-1] < 3.5
    rest = list(segments)
    assert all(a.end <= b.start for a, b in zip([first, *rest], rest, strict=False))
    assert rest[-1].start > 3.5


def test_alternatives_of_regions_are_combined(sound, build):
    def decode(emissions, tokenizer):
        others = (Hypothesis("b", -3.0), Hypothesis("c", -9.0))
        return [Hypothesis("a", -1.0, alternatives=others)] * len(emissions.lengths)

    waveform = np.concatenate([sound(2.0), np.zeros(64_000, np.float32), sound(2.0)])
    transcript = Transcriber(build(), decode).transcribe(waveform, sample_rate=16_000)
    assert (transcript.text, transcript.score) == ("a a", -2.0)
    assert transcript.alternatives == (("a b", -4.0), ("b a", -4.0))


def test_blocks_of_a_recording_join_to_the_whole(recording):
    for name, rate in (
        ("a.wav", 16_000),
        ("b.flac", 44_100),
        ("c.wav", 8_000),
        ("d.ogg", 48_000),
    ):
        path = recording(name, 1.7, rate=rate)
        with audio.Recording(path) as opened:
            blocks = list(opened.blocks(0.31))
        whole = audio.load(path)
        assert len(blocks) > 4
        np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-4)
        with audio.Recording(path) as opened:
            part = np.concatenate(list(opened.blocks(0.4, offset=0.3, duration=1.1)))
        np.testing.assert_allclose(
            part, audio.load(path, offset=0.3, duration=1.1), atol=1e-4
        )


def test_a_transcript_tells_if_its_recording_is_cut_off(recording, transcriber):
    path = recording("a.wav", 4.0)
    assert transcriber.transcribe(path).warnings == ()
    size = path.stat().st_size
    os.truncate(path, size - 32_000)
    cut = transcriber.transcribe(path)
    assert cut.duration == pytest.approx(3.0)
    (warning,) = cut.to_dict()["warnings"]
    assert warning.startswith(f"cut off: {size - 32_000:,} of {size:,} bytes")


def test_damaged_parts_are_skipped_and_the_rest_keeps_its_times(recording, transcriber):
    path = recording("a.flac", 20.0)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 60_000] = bytes(60_000)
    path.write_bytes(content)
    transcript = transcriber.transcribe(path)
    assert transcript.duration == 20.0
    (damaged,) = [part for part in transcript.skipped if part.reason == "damaged"]
    assert 8.0 < damaged.start < 10.1 and 10.0 < damaged.end < 16.0
    assert transcript.skipped == tuple(sorted(transcript.skipped, key=lambda p: p.start))
    ends = [part.end for part in transcript.skipped]
    starts = [part.start for part in transcript.skipped]
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    assert transcript.words[-1].end > 18.0
    assert transcript.to_dict()["skipped"][0]["reason"] in ("damaged", "silence")


def test_many_arrays_and_channels_are_transcribed(sound, transcriber):
    stereo = np.stack([sound(0.7), sound(0.7, seed=1)])
    (result,) = transcriber.transcribe_many([stereo], sample_rate=16_000, channel=2)
    assert result.text == transcriber.transcribe(stereo, sample_rate=16_000, channel=2).text
    results = list(
        transcriber.transcribe_many_channels([stereo, stereo], sample_rate=16_000)
    )
    expected = [t.text for t in transcriber.transcribe_channels(stereo, sample_rate=16_000)]
    for result in results:
        assert [(t.channel, t.text) for t in result] == list(enumerate(expected, 1))
    (error,) = transcriber.transcribe_many_channels(["none.wav"])
    assert isinstance(error, AudioError)


def test_wrong_arguments_are_named(transcriber):
    with pytest.raises(TypeError, match="needs several recordings"):
        list(transcriber.transcribe_many("none.wav"))
    for rate in (float("nan"), -1, True, "16000"):
        with pytest.raises(ValueError, match="sample_rate must be > 0"):
            transcriber.transcribe(np.zeros(160, np.float32), sample_rate=rate)
    with pytest.raises(ValueError, match="samples must be"):
        transcriber.transcribe(np.zeros((0, 160), np.float32), sample_rate=16_000)
    with pytest.raises(ConfigError, match="engine must be auto, torch, or onnx, got 'a'"):
        asr.load(engine="a")


def test_live_audio_without_voice_activity_detection_is_one_region(sound, build):
    waveform = np.concatenate([sound(2.0), np.zeros(64_000, np.float32), sound(2.0)])
    model = build()
    blocks = [waveform[begin : begin + 1600] for begin in range(0, len(waveform), 1600)]
    segments = list(Transcriber(model, vad=False).stream(blocks))
    whole = Transcriber(model, vad=False).transcribe(waveform, sample_rate=16_000)
    assert tuple(segments) == whole.segments


@pytest.mark.parametrize("channel", ["each", "left", 0, 1.5])
def test_a_wrong_channel_is_not_a_fault_of_the_recording(sound, transcriber, channel):
    with pytest.raises(ValueError, match="channel must be"):
        transcriber.transcribe(sound(0.5), sample_rate=16_000, channel=channel)
    with pytest.raises(ValueError, match="channel must be"):
        list(transcriber.transcribe_many([sound(0.5)], sample_rate=16_000, channel=channel))
