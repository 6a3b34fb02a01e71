"""Damaged headers and bodies: a recording is read or refused in one line, without a crash.

ASR_FUZZ_CASES=10000 runs that many cases instead of a few hundred.
"""

import faulthandler
import logging
import os

import numpy as np
import pytest
from audio_encodings import ENCODINGS

from asr import audio
from asr.errors import AudioError

CASES = int(os.environ.get("ASR_FUZZ_CASES", "480"))
FORMATS = ("wav", "flac", "mp3", "ogg", "m4a", "webm", "wma", "amr")
HEADER_SIZE = 600  # bytes
HANG_SECONDS = 600.0  # per case, far more than any case needs
MAX_SECONDS = 60.0  # of a recording that is read from a file of a second


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with changed, missing, repeated, or foreign bytes."""
    content = bytearray(data)
    end = min(HEADER_SIZE, len(content)) if rng.random() < 0.6 else len(content)
    kind = rng.integers(7)
    position = int(rng.integers(end))
    count = int(2 ** rng.uniform(0, 8))
    if kind == 0:  # single bits
        for place in rng.integers(end, size=rng.integers(1, 8)):
            content[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:  # random bytes
        content[position : position + count] = rng.bytes(count)
    elif kind == 2:  # extreme values in fields of 1 to 8 bytes
        size = int(2 ** rng.integers(4))
        value = [b"\0", b"\xff", b"\x7f", b"\x80"][rng.integers(4)]
        content[position : position + size] = value * size
    elif kind == 3:
        del content[position : position + count]
    elif kind == 4:
        content[position:position] = content[max(0, position - count) : position]
    elif kind == 5:
        del content[position:]
    else:  # a block of zeros, as on a damaged disk
        content[position : position + 8 * count] = bytes(8 * count)
    return bytes(content)


def check(content: bytes) -> None:
    """Read damaged content in all ways."""
    for function in (audio.info, audio.load):
        for mode in ("error", "skip"):
            try:
                result = function(content, on_damage=mode)
            except AudioError as error:
                message = str(error)
                assert message.startswith("recording: ") and "\n" not in message
                continue
            if function is audio.load:
                assert result.dtype == np.float32 and result.ndim == 1
                assert np.isfinite(result).all()
                assert len(result) < MAX_SECONDS * audio.SAMPLE_RATE
    try:
        with audio.Recording(content, on_damage="skip") as recording:
            samples = sum(map(len, recording.blocks(0.25)))
            part = recording.load(offset=0.3, duration=0.2)
            duration, damaged = recording.info.duration, recording.damaged
    except AudioError as error:
        assert "\n" not in str(error)
    else:
        assert len(part) <= 0.25 * audio.SAMPLE_RATE
        assert abs(samples / audio.SAMPLE_RATE - duration) < 0.25
        bounds = [0.0, *(time for part in damaged for time in part), duration]
        assert bounds == sorted(bounds)


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_recordings_are_read_or_refused_in_one_line(sound, capfd, name):
    logging.disable(logging.WARNING)
    rng = np.random.default_rng(FORMATS.index(name))
    rate = 8_000 if name == "amr" else 16_000
    samples = sound(1.0, rate)[:, None]
    data = ENCODINGS[name].encode(samples, rate)
    try:
        for number in range(-(-CASES // len(FORMATS))):
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            content = damage(data, rng)
            try:
                check(content)
            except Exception as error:
                error.add_note(f"case {number} of {name}: {len(content)} bytes")
                raise
    finally:
        faulthandler.cancel_dump_traceback_later()
        logging.disable(logging.NOTSET)
    assert not capfd.readouterr().err  # libraries print nothing either


def test_random_bytes_are_refused():
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 4, 7, 8, 9, 11, 12, 13, 16, 44, 100, 1_000, 100_000):
        with pytest.raises(AudioError):
            audio.load(rng.bytes(size))


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_every_beginning_of_a_file_is_read_or_refused(sound, name):
    encoding = ENCODINGS[name]
    data = encoding.encode(sound(0.5, encoding.rates[0])[:, None], encoding.rates[0])
    for size in (*range(1, 64, 3), 100, 200, 400, 800, len(data) - 1):
        check(data[:size])
