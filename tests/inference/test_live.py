"""Live audio from a pipe or a microphone."""

import io
import os
import signal
import struct
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from asr import audio
from asr.errors import AudioError, ConfigError
from asr.inference import live

ENDLESS = 0xFFFFFFFF


def wav(samples, rate=16_000, subtype="PCM_16", length=ENDLESS):
    """Return a WAV file as a program writes it to a pipe."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    content = bytearray(file.getvalue())
    if length is not None:
        struct.pack_into("<I", content, content.index(b"data") + 4, length)
    return bytes(content)


def raw(samples, subtype):
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="RAW", subtype=subtype, endian="LITTLE")
    return file.getvalue()


@pytest.mark.parametrize(
    "subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "ULAW"]
)
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("length", [ENDLESS, 0x80000000, 0])
def test_a_piped_wav_of_unknown_length_gives_the_samples_of_the_file(
    sound, subtype, rate, length
):
    samples = np.stack([sound(1.03, rate), sound(1.03, rate, seed=1)], axis=1)
    stream = io.BytesIO(wav(samples, rate, subtype, length))
    form = live.read_header(stream)
    assert form == live.PcmFormat(rate, 2, subtype)
    blocks = list(live.read_pcm(stream, form))
    expected = audio.load(wav(samples, rate, subtype, None))
    joined = np.concatenate(blocks)
    assert abs(len(joined) - len(expected)) <= 1
    n = min(len(joined), len(expected))
    assert np.abs(joined[:n] - expected[:n]).max() < 1e-4
    assert max(map(len, blocks)) < 0.2 * 16_000


@pytest.mark.parametrize("encoding", live.ENCODINGS)
def test_raw_samples_are_decoded_by_their_encoding(sound, encoding):
    samples = np.stack([sound(0.55), sound(0.55, seed=1)], axis=1)
    subtype = live.ENCODINGS[encoding]
    data = raw(samples, subtype)
    form = live.PcmFormat(16_000, 2, subtype)
    loss = 0.03 if "LAW" in subtype else 1e-4
    mix = np.concatenate([*live.read_pcm(io.BytesIO(data), form)])
    assert np.abs(mix - samples.mean(axis=1)).max() < loss
    second = np.concatenate([*live.read_pcm(io.BytesIO(data), form, channel=2)])
    assert np.abs(second - samples[:, 1]).max() < loss
    assert np.abs(audio.load(form.to_wav(data)) - mix).max() < 1e-6
    with pytest.raises(AudioError, match=r"no channel 3. Channels: 2."):
        list(live.read_pcm(io.BytesIO(data), form, channel=3))


def test_an_incomplete_last_sample_and_values_that_are_no_numbers_do_no_harm():
    samples = np.array([0.5, np.nan, np.inf, -0.5, 1e30], np.float32)
    form = live.PcmFormat(16_000, 1, "FLOAT")
    (block,) = live.read_pcm(io.BytesIO(samples.tobytes() + b"abc"), form)
    assert block.tolist() == [0.5, 0.0, 0.0, -0.5, 0.0]
    with pytest.raises(AudioError, match="standard input: no samples"):
        list(live.read_pcm(io.BytesIO(b""), form))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        b"RIFF\0\0\0\0WAVE",
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0",
        b"fLaC and more " * 100,
        b"RIFF\0\0\0\0WAVEdata" + b"\xff" * 1_000,
        wav(np.zeros(100), length=None),
        wav(np.zeros(100), subtype="MS_ADPCM"),
    ],
)
def test_anything_but_a_wav_of_unknown_length_is_read_whole(content):
    assert live.read_header(io.BytesIO(content)) == content


def test_blocks_are_given_before_the_pipe_is_closed(sound):
    """A block of a tenth of a second is there while the program at the other end still runs."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as out:
        out.write(wav(sound(0.25)))
        form = live.read_header(stream)
        blocks = live.read_pcm(stream, form)
        assert np.concatenate([next(blocks), next(blocks)]).shape == (3_200,)
        out.write(raw(sound(0.05), "PCM_16"))
        assert len(next(blocks)) == 1_600
        out.close()
        assert len(next(blocks)) == 0


class PortAudioError(Exception):
    """The class of sounddevice."""


def fake_sounddevice(samples, rate, devices=("default",), block=None):
    """Return a module like sounddevice, whose microphone gives some samples."""

    class InputStream:
        def __init__(self, *, samplerate, blocksize, device, channels, dtype, callback):
            assert (samplerate, channels, dtype) == (rate, 1, "float32")
            self._size, self._callback = blocksize, callback

        def __enter__(self):
            for start in range(0, len(samples), self._size):
                data = samples[start : start + self._size, None].copy()
                self._callback(data, len(data), None, None)
                data[:] = np.nan  # PortAudio uses the buffer again

        def __exit__(self, *_):
            closed.append(True)

    def query_devices(device, kind):
        assert kind == "input"
        if device is None and not devices:
            raise PortAudioError("Error querying device -1")
        if device is not None and device not in devices:
            raise ValueError(f"No input device matching {device!r}")
        return {"default_samplerate": float(rate)}

    closed: list[bool] = []
    return SimpleNamespace(
        InputStream=InputStream,
        query_devices=query_devices,
        PortAudioError=PortAudioError,
        closed=closed,
    )


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_a_microphone_gives_blocks_at_16_khz(sound, monkeypatch, rate):
    module = fake_sounddevice(sound(1.0, rate), rate)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    blocks = live.record()
    waveform = np.concatenate([next(blocks) for _ in range(10)])
    blocks.close()
    expected = audio.resample(sound(1.0, rate), rate, 16_000)
    assert np.abs(waveform - expected[: len(waveform)]).max() < 1e-4
    assert len(waveform) > 15_000
    assert module.closed == [True]


def test_a_microphone_that_stops_is_an_error(sound, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice(sound(0.1), 16_000))
    monkeypatch.setattr(live, "MAX_WAIT", 0.01)
    blocks = live.record()
    next(blocks)
    with pytest.raises(AudioError, match=r"microphone: no samples\. Is it still connected"):
        next(blocks)


def test_a_missing_device_is_an_error_that_says_how_to_choose_one(sound, monkeypatch):
    module = fake_sounddevice(sound(0.1), 16_000, devices=())
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    with pytest.raises(AudioError, match=r"^microphone: Error querying device -1. `python"):
        next(live.record())
    with pytest.raises(AudioError, match=r"^microphone desk: No input device matching"):
        next(live.record("desk"))


def test_missing_packages_give_the_command_that_installs_them(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ConfigError, match=r"pip install 'asr\[mic\]'"):
        next(live.record())
    monkeypatch.delitem(sys.modules, "sounddevice")
    message = "PortAudio library not found"
    (tmp_path / "sounddevice.py").write_text(f"raise OSError({message!r})")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="recording needs the library PortAudio"):
        next(live.record())


def test_blocks_before_an_interrupt_are_used():
    """Ctrl-C between two blocks ends the audio. The block before it is not lost."""
    before = signal.getsignal(signal.SIGINT)
    blocks = live.until_interrupt(block for block in (np.zeros(1), np.ones(1)))
    assert next(blocks).tolist() == [0]
    signal.raise_signal(signal.SIGINT)
    assert list(blocks) == []
    assert signal.getsignal(signal.SIGINT) is before
    assert len(list(live.until_interrupt(np.zeros(1) for _ in range(3)))) == 3
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_an_interrupt_ends_a_read_that_waits():
    code = (
        "import sys, numpy; from asr.inference import live\n"
        "form = live.PcmFormat(16_000, 1, 'PCM_16')\n"
        "for block in live.until_interrupt(live.read_pcm(sys.stdin.buffer, form)):\n"
        "    print(len(block), flush=True)\n"
        "print('end')"
    )
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=False) as process:
        watch = threading.Timer(600, process.kill)
        watch.start()
        process.stdin.write(bytes(3_200))
        process.stdin.flush()
        assert process.stdout.readline() == b"1600\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == b"end\n"
        assert process.wait() == 0
        watch.cancel()
