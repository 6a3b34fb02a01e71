"""The exported page recognizes in the browser what Python recognizes."""

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pages import Visit, read_transcript, record, save, upload, wait_until_ready

import asr
from asr import audio
from asr.audio import SAMPLE_RATE
from asr.audio.speech import HOP, split_at_pauses
from asr.inference.transcript import Transcript


def assert_same(page: Any, expected: Transcript) -> None:
    """Compare all files that the page saves with those of Python."""
    shown, wanted = read_transcript(page), expected.to_dict()
    assert list(shown) == list(wanted)
    for key, value in wanted.items():
        if isinstance(value, float):
            assert shown[key] == pytest.approx(value, rel=1e-3, abs=1e-3), key
        elif key in ("text", "channel", "alternatives"):
            assert shown[key] == value
        else:
            assert len(shown[key]) == len(value)
            pairs = zip(shown[key], value, strict=True)
            assert all(one == pytest.approx(other, abs=2e-3) for one, other in pairs)
    for name, subtitles in (("srt", expected.to_srt()), ("vtt", expected.to_vtt())):
        one, other = split_times(save(page, name)), split_times(subtitles)
        assert one[0] == other[0]
        assert one[1] == pytest.approx(other[1], abs=2)


def split_times(subtitles: str) -> tuple[str, list[int]]:
    """Return subtitles without times, and the milliseconds of the times in their minutes."""
    pattern = r"(\d\d)[.,](\d{3})\b"
    times = [int(seconds + rest) for seconds, rest in re.findall(pattern, subtitles)]
    return re.sub(pattern, "", subtitles), times


def pick(clips: list[Path], model: Path, count: int) -> list[tuple[Path, Transcript]]:
    """Return clips with their transcripts, without those with two tokens that are almost equal."""
    transcriber = asr.load(model)
    chosen = []
    for clip in clips:
        emissions = transcriber.model.compute_emissions([audio.load(clip)])
        best = np.sort(emissions.rows()[0], axis=1)
        if (best[:, -1] - best[:, -2]).min() > 1e-4:
            chosen.append((clip, transcriber.transcribe(clip)))
    return chosen[:count]


def test_twenty_clips_have_the_same_words_as_in_python(
    site: str, model: Path, clips: list[Path], visit: Visit
) -> None:
    page = visit(site)
    wait_until_ready(page)
    chosen = pick(clips, model, 20)
    assert len(chosen) == 20
    for clip, expected in chosen:
        assert expected.words
        upload(page, clip)
        assert_same(page, expected)


def test_long_recordings_with_pauses_have_the_same_words_as_in_python(
    site: str, model: Path, clips: list[Path], visit: Visit, tmp_path: Path
) -> None:
    pause = np.zeros(2 * SAMPLE_RATE, np.float32)
    chosen = [clip for clip, _ in pick(clips, model, 12)]
    parts = [part for clip in chosen for part in (audio.load(clip), pause)]
    speech = np.concatenate([audio.load(clip) for clip in chosen])
    path = tmp_path / "long.flac"
    soundfile.write(path, np.concatenate([*parts, speech]), SAMPLE_RATE)
    expected = asr.load(model).transcribe(path)
    assert len(expected.skipped) == len(chosen)
    page = visit(site)
    wait_until_ready(page)
    upload(page, path)
    assert_same(page, expected)


@pytest.mark.parametrize(
    ("block", "max_seconds", "noise"),
    [(30.0, 300.0, 0.0), (0.1, 4.0, 0.0), (0.1, 15.0, 0.003)],
)
def test_pauses_are_those_of_python(
    block: float,
    max_seconds: float,
    noise: float,
    site: str,
    clips: list[Path],
    visit: Visit,
) -> None:
    rng = np.random.default_rng(0)
    parts = []
    for clip, seconds in zip(clips, (0.2, 1.5, 0.7, 3.0, 1.1, 0.0), strict=False):
        parts += [audio.load(clip), np.zeros(round(seconds * SAMPLE_RATE), np.float32)]
    samples = np.concatenate(parts)
    samples += noise * rng.standard_normal(len(samples), dtype=np.float32)
    size = round(block * SAMPLE_RATE)
    blocks = [samples[i : i + size] for i in range(0, len(samples), size)]
    pieces = list(split_at_pauses(blocks, max_seconds=max_seconds))
    expected = [[piece.start, len(piece.samples), piece.is_last] for piece in pieces]
    assert len(expected) > 2
    page = visit(site)
    found = page.evaluate(
        """async ([content, size, maxHops]) => {
            const { Splitter } = await import("./pauses.js");
            const { model } = await (await fetch("config.json")).json();
            const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
            const samples = new Float32Array(bytes.buffer);
            const splitter = new Splitter(model.speech, maxHops);
            const pieces = [];
            for (let i = 0; i < samples.length; i += size) {
                pieces.push(...splitter.push(samples.subarray(i, i + size)));
            }
            pieces.push(...splitter.finish());
            return pieces.map((piece) => [piece.start, piece.samples.length, piece.isLast]);
        }""",
        [
            base64.b64encode(samples.tobytes()).decode(),
            size,
            round(max_seconds * SAMPLE_RATE / HOP),
        ],
    )
    assert found == expected


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_other_sample_rates_are_resampled_as_in_python(
    rate: int, site: str, clips: list[Path], visit: Visit, tmp_path: Path
) -> None:
    path = tmp_path / "stereo.wav"
    waveform = audio.resample(audio.load(clips[0]), SAMPLE_RATE, rate)
    soundfile.write(path, np.stack([waveform, waveform * 0.5], axis=1), rate, "FLOAT")
    expected = audio.load(path)
    page = visit(site)
    resampled = page.evaluate(
        """async content => {
            const { decode } = await import("./audio.js");
            const { Resampler } = await import("./resample.js");
            const audio = await decode(new File([new Uint8Array(content)], "a.wav"), 3);
            const [left, right] = audio.channels;
            const mix = left.map((x, i) => (x + right[i]) / 2);
            const resampler = new Resampler(audio.sampleRate, 16000);
            const half = mix.length >> 1;
            const parts = [mix.subarray(0, half), mix.subarray(half)];
            const done = parts.map((part) => resampler.process(part));
            return [...done, resampler.finish()].flatMap((part) => [...part]);
        }""",
        list(path.read_bytes()),
    )
    assert len(resampled) == pytest.approx(len(expected), abs=1)
    size = min(len(resampled), len(expected))
    error = np.array(resampled[:size]) - expected[:size]
    assert np.square(error).mean() < 1e-4 * np.square(expected).mean()  # -40 dB


def test_silence_has_no_words(site: str, visit: Visit, tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(3 * SAMPLE_RATE), SAMPLE_RATE)
    page = visit(site)
    wait_until_ready(page)
    upload(page, path)
    assert page.is_visible("#none")
    assert not page.is_visible("#downloads")


def test_a_file_that_is_not_audio_is_named_and_the_next_recording_works(
    site: str, clips: list[Path], visit: Visit, tmp_path: Path
) -> None:
    path = tmp_path / "text.wav"
    path.write_text("words", encoding="utf-8")
    page = visit(site)
    wait_until_ready(page)
    page.set_input_files("#file", path)
    page.wait_for_selector("#error:not([hidden])")
    wanted = (
        "This browser cannot read text.wav. Save it as WAV, MP3, or FLAC and try again."
    )
    assert page.inner_text("#error") == wanted
    upload(page, clips[0])


def test_the_microphone_is_transcribed_while_it_records(
    site: str, clips: list[Path], visit: Visit
) -> None:
    page = visit(site)
    wait_until_ready(page)
    seconds = audio.info(clips[0]).duration
    record(page, seconds, live=True)
    transcript = read_transcript(page)
    assert transcript["duration"] > seconds
    assert transcript["words"]
    page.click("#play")
    page.wait_for_selector("#words button.now")


def test_a_transcription_can_be_canceled(
    site: str, clips: list[Path], visit: Visit, tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    speech = np.tile(audio.load(clips[0]), 1000)[: 600 * SAMPLE_RATE]
    soundfile.write(path, speech, SAMPLE_RATE)
    page = visit(site)
    wait_until_ready(page)
    page.evaluate(
        "new MutationObserver(() => cancel.click()).observe(words, { childList: true })"
    )
    page.set_input_files("#file", path)
    page.wait_for_selector("#status:text-is('Canceled.')", state="attached")
    page.wait_for_selector("[data-state=ready]")
    assert page.inner_text("#summary") == ""
