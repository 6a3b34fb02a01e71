"""Recordings as phones, recorders, programs, and downloads leave them."""

import io
import logging
import os
import struct
import sys
from fractions import Fraction

import numpy as np
import pytest
import soundfile
from audio_encodings import ENCODINGS, NO_XING, encode_with_ffmpeg

from asr import audio
from asr.audio import mp3
from asr.errors import AudioError


def mono(samples):
    return samples[:, None]


def wav(samples, rate=16_000, subtype="PCM_16"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    return bytearray(file.getvalue())


def with_length(content, size, riff_size=None):
    """Return a WAV file with other lengths in its header."""
    content = bytearray(content)
    struct.pack_into("<I", content, content.index(b"data") + 4, size)
    if riff_size is not None:
        struct.pack_into("<I", content, 4, riff_size)
    return bytes(content)


@pytest.mark.parametrize(
    "size",
    [0, 0x7FFFF000, 0x7FFFFFFF, 0x7FFFFFB8, 0x80000000, 0xFFFFFFFF, 0xFFFFFFD8, 0xFFFFF000],
)
@pytest.mark.parametrize("riff_size", [None, 0, 0xFFFFFFFF, 0x7FFFF024])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_a_piped_wav_with_any_placeholder_as_length_is_read_to_its_end(
    sound, size, riff_size, subtype
):
    complete = wav(sound(1.0), subtype=subtype)
    content = with_length(complete, size, riff_size)
    assert audio.info(content) == audio.AudioInfo(1.0, 16_000, 1)
    assert np.array_equal(audio.load(content), audio.load(bytes(complete)))
    part = audio.load(content, offset=0.4, duration=0.3)
    assert np.array_equal(part, audio.load(bytes(complete), offset=0.4, duration=0.3))


@pytest.mark.parametrize(
    "size", [32_002, 100_000, 900_000_000, 2_000_000_000, 3_000_000_000]
)
def test_a_wav_with_any_other_length_than_its_own_is_cut_off(sound, size):
    content = with_length(wav(sound(1.0)), size)
    with pytest.raises(AudioError, match=f"cut off: 32,044 of {size + 44:,} bytes"):
        audio.load(content)


def test_a_wav_without_samples_but_with_other_chunks_is_no_stream(sound):
    content = wav(sound(0.0)) + b"LIST" + struct.pack("<I", 8) + b"INFOabcd"
    with pytest.raises(AudioError, match="contains no samples"):
        audio.load(bytes(content))


def test_mp3_without_a_header_has_its_true_duration(sound):
    data = encode_with_ffmpeg(mono(sound(2.0)), 16_000, "mp3", "libmp3lame", NO_XING)
    frames = len(data) // mp3.parse_header(data[:4]).size
    assert audio.info(data).duration == frames * 576 / 16_000
    assert len(audio.load(data)) == frames * 576


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_mp3_with_a_variable_rate_and_no_header_has_its_true_duration(sound, rate):
    loud, quiet = sound(2.0, rate), 0.001 * sound(2.0, rate)
    options = {"rate": rate, "container": "mp3", "codec": "libmp3lame", "options": NO_XING}
    pieces = [
        encode_with_ffmpeg(mono(samples), bit_rate=bit_rate, **options)
        for samples, bit_rate in ((loud, 128_000), (quiet, 32_000), (loud, 64_000))
    ]
    durations = [audio.info(piece).duration for piece in pieces]
    joined = b"".join(pieces)
    assert audio.info(joined).duration == pytest.approx(sum(durations))
    assert len(audio.load(joined)) / 16_000 == pytest.approx(sum(durations), abs=1e-3)
    assert sum(durations) == pytest.approx(6.0, abs=0.3)


def test_joined_mp3_has_neither_delay_nor_padding_between_its_parts(sound):
    parts = [
        ENCODINGS["mp3"].encode(mono(sound(s, seed=i)), 16_000)
        for i, s in ((0, 3.0), (1, 4.0))
    ]
    waveform = audio.load(parts[0] + parts[1])
    assert audio.info(parts[0] + parts[1]).duration == 7.0
    expected = np.concatenate([sound(3.0), sound(4.0, seed=1)])
    assert np.corrcoef(waveform, expected)[0, 1] > 0.99


def test_tags_before_between_and_after_mp3_frames_are_skipped(sound):
    data = ENCODINGS["mp3"].encode(mono(sound(1.0)), 16_000)
    picture = bytes(np.random.default_rng(0).integers(0, 256, 100_000, np.uint8))
    size = len(picture)
    sizes = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    tag = b"ID3\x03\0\0" + sizes + picture
    tagged = tag + data + b"TAG" + bytes(125)
    assert np.array_equal(audio.load(tagged), audio.load(data))
    twice = audio.load(tagged + tagged)
    assert np.array_equal(twice, np.tile(audio.load(data), 2))


def test_foreign_bytes_between_mp3_frames_are_damage(sound, caplog):
    data = ENCODINGS["mp3"].encode(mono(sound(2.0)), 16_000)
    middle = len(data) // 2
    damaged = data[:middle] + b"\x01" * 1_000 + data[middle + 1_000 :]
    for function in (audio.info, audio.load):
        with pytest.raises(AudioError, match="damaged: no MP3 frame at byte"):
            function(damaged)
    assert len(audio.load(damaged, on_damage="skip")) > 16_000
    assert "damaged" in caplog.text


def test_a_segment_of_mp3_needs_the_bit_reservoir_before_it(sound):
    data = encode_with_ffmpeg(
        mono(sound(3.0, 24_000)), 24_000, "mp3", "libmp3lame", NO_XING, bit_rate=8_000
    )
    whole = audio.load(data, sample_rate=24_000)
    for first in range(1_000, 60_000, 1_777):
        part = audio.load(data, offset=first / 24_000, duration=0.02, sample_rate=24_000)
        assert np.abs(part - whole[first : first + len(part)]).max() < 1e-4


@pytest.mark.parametrize("rate", [0, 1, 3_999, 400_000, 4_000_000_000])
def test_an_implausible_sample_rate_is_refused_in_one_line(sound, rate):
    content = wav(sound(0.5))
    struct.pack_into("<I", content, content.index(b"fmt ") + 12, rate)
    for function in (audio.load, audio.info):
        with pytest.raises(AudioError) as caught:
            function(bytes(content))
        assert "\n" not in str(caught.value)
    if 0 < rate < 1 << 31:
        assert f"sample rate of {rate:,} Hz, expected 4,000 to 384,000 Hz" in str(
            caught.value
        )


def test_the_format_is_recognized_by_content_and_not_by_the_extension(tmp_path, sound):
    for name, encoding in ENCODINGS.items():
        rate = encoding.rates[0]
        data = encoding.encode(mono(sound(1.2, rate)), rate)
        for extension in (".wav", ".mp3", ".txt"):
            path = tmp_path / f"{name}{extension}"
            path.write_bytes(data)
            assert audio.info(path) == audio.info(data)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXTINF:1,\nsecret.wav\n",
        "ffconcat version 1.0\nfile secret.wav\n",
        "<?xml version='1.0'?><MPD></MPD>",
    ],
)
def test_playlists_that_name_other_files_are_refused(tmp_path, sound, text):
    soundfile.write(tmp_path / "secret.wav", sound(0.5), 16_000)
    (tmp_path / "list.m3u8").write_text(text)
    with pytest.raises(AudioError, match="not a recording that can be read"):
        audio.load(tmp_path / "list.m3u8")


def test_a_movie_gives_its_audio_track(tmp_path, sound):
    import av

    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=10)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        stream = out.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound(1.0)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
        for _ in range(10):
            image = np.zeros((64, 64, 3), np.uint8)
            out.mux(video.encode(av.VideoFrame.from_ndarray(image)))
        fifo = av.AudioFifo()
        fifo.write(frame)
        while part := fifo.read(1024, partial=True):
            out.mux(stream.encode(part))
        out.mux(stream.encode())
        out.mux(video.encode())
    assert audio.info(path) == audio.AudioInfo(1.0, 16_000, 1)
    assert np.corrcoef(audio.load(path), sound(1.0))[0, 1] > 0.99


def test_a_movie_without_sound_is_refused_in_one_line(tmp_path):
    import av

    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=10)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        out.mux(video.encode())
    with pytest.raises(AudioError, match=r"silent.mp4: .*no audio track"):
        audio.load(path)


@pytest.mark.parametrize("size", [0, 8, 1 << 31])
def test_a_movie_whose_recorder_was_stopped_has_no_index(sound, size):
    data = ENCODINGS["m4a"].encode(mono(sound(1.0)), 16_000)
    position = data.index(b"mdat") - 4
    stopped = data[:position] + struct.pack(">I", size) + data[position + 4 : -2_000]
    for function in (audio.info, audio.load):
        with pytest.raises(AudioError, match=r"no index|cut off"):
            function(stopped)


@pytest.mark.parametrize("name", ["m4a", "mp4"])
def test_a_movie_with_a_damaged_index_is_not_one_without_an_index(sound, name):
    data = bytearray(ENCODINGS[name].encode(mono(sound(0.5)), 16_000))
    table = data.index(b"stts") + 8
    data[table : table + 3] = b"\xff" * 3  # the number of entries
    for function in (audio.info, audio.load):
        with pytest.raises(AudioError, match="not a recording that can be read") as caught:
            function(bytes(data))
        assert "no index" not in str(caught.value)


@pytest.mark.parametrize("size", [0, 8])
def test_the_name_of_the_index_among_the_samples_is_no_index(tmp_path, size):
    path = tmp_path / "stopped.mp4"
    path.write_bytes(
        struct.pack(">I8sII", 16, b"ftypisom", 0, size) + b"mdat" + b"\0" * 8 + b"moov"
    )
    with pytest.raises(AudioError, match="no index: the recorder was stopped"):
        audio.load(path)


def test_joined_recordings_of_different_rates_are_refused(sound):
    for name in ("wav", "mp3", "opus", "m4a"):
        encode = ENCODINGS[name].encode
        joined = encode(mono(sound(1.0)), 16_000) + encode(mono(sound(1.0, 48_000)), 48_000)
        with pytest.raises(AudioError, match="joined recordings of"):
            audio.load(joined)


@pytest.mark.parametrize("name", ["wav", "m4a", "flac"])
def test_a_joined_recording_that_cannot_be_opened_is_damage(sound, caplog, name):
    data = ENCODINGS[name].encode(mono(sound(1.0)), 16_000)
    cut = data + data[: len(data) // 2 if name == "m4a" else 30]
    for function in (audio.info, audio.load):
        with pytest.raises(AudioError, match=f"recording at byte {len(data):,} is unread"):
            function(cut)
    assert np.array_equal(audio.load(cut, on_damage="skip"), audio.load(data))
    assert len(caplog.records) == 1


@pytest.mark.parametrize("seconds", [0.1, 2.99, 3.01, 3.2, 9.0])
def test_joined_flac_of_any_other_length_is_found_without_decoding(sound, seconds):
    first, second = (
        ENCODINGS["flac"].encode(mono(sound(s)), 16_000) for s in (3.0, seconds)
    )
    assert audio.info(first + second).duration == pytest.approx(3.0 + seconds)
    part = audio.load(first + second, offset=2.5, duration=0.55)
    expected = np.concatenate([sound(3.0), sound(seconds)])[40_000:48_800]
    assert np.abs(part - expected).max() < 1e-4


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_joined_flac_after_tags_is_found(tmp_path, sound, seconds):
    tag = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)
    first, second = (
        ENCODINGS["flac"].encode(mono(sound(s)), 16_000) for s in (2.0, seconds)
    )
    path = tmp_path / "a.flac"
    for between in (b"", tag):
        path.write_bytes(tag + first + between + second)
        assert audio.info(path).duration == 2.0 + seconds
        expected = np.concatenate([audio.load(first), audio.load(second)])
        assert np.array_equal(audio.load(path), expected)
    assert np.array_equal(audio.load(tag + first), audio.load(first))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("odd", [b"", b"\x55"])  # with a byte of padding
def test_joined_wav_is_found_after_chunks_that_follow_the_samples(sound, order, odd):
    endian = {"<": "LITTLE", ">": "BIG"}[order]
    file = io.BytesIO()
    soundfile.write(file, sound(0.5), 16_000, "PCM_16", endian, "WAV")
    plain = file.getvalue()
    chunks = b"".join(
        name + struct.pack(f"{order}I", len(data)) + data + b"\0" * (len(data) % 2)
        for name, data in ((b"LIST", b"INFOabcd" + odd), (b"_PMX", b"x" * 70_000))
    )
    first = bytearray(plain + chunks)
    struct.pack_into(f"{order}I", first, 4, len(first) - 8)
    joined = bytes(first) + plain
    assert audio.info(joined).duration == 1.0
    assert np.array_equal(audio.load(joined), np.tile(audio.load(plain), 2))
    assert np.array_equal(audio.load(bytes(first)), audio.load(plain))


@pytest.mark.parametrize(
    "tag", [b"", b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)], ids=["plain", "tagged"]
)
def test_joined_flac_of_equal_length_is_refused_when_its_end_is_read(sound, tag):
    data = ENCODINGS["flac"].encode(mono(sound(15.0)), 16_000)
    with pytest.raises(AudioError, match="a second recording begins at byte"):
        audio.load(tag + data + data)


def test_one_channel_of_several_can_be_loaded(sound):
    samples = np.stack([sound(0.5, seed=i) for i in range(3)], axis=1)
    content = bytes(wav(samples, subtype="FLOAT"))
    for channel in range(3):
        assert np.array_equal(audio.load(content, channel=channel + 1), samples[:, channel])
    assert np.abs(audio.load(content, channel="mix") - samples.mean(axis=1)).max() < 1e-6
    for channel in (0, 4, -1):
        message = f"recording: no channel {channel}. Channels: 3."
        with pytest.raises(AudioError, match=message):
            audio.load(content, channel=channel)


def test_channels_of_opposite_phase_give_the_louder_one_and_a_warning(sound, caplog):
    waveform = sound(0.5)
    content = bytes(wav(np.stack([0.9 * waveform, -waveform], axis=1), subtype="FLOAT"))
    assert np.array_equal(audio.load(content), -waveform)
    (record,) = caplog.records
    assert "opposite phase" in record.getMessage()
    assert "Channel 2" in record.getMessage()


@pytest.mark.parametrize("count", [2, 4, 8])
def test_silent_channels_and_different_speakers_are_mixed(sound, caplog, count):
    one = np.zeros((8_000, count), np.float32)
    one[:, 1] = sound(0.5)
    several = np.stack([sound(0.5, seed=i) for i in range(count)], axis=1)
    for samples in (one, several, np.zeros_like(one)):
        waveform = audio.load(bytes(wav(samples, subtype="FLOAT")))
        assert np.abs(waveform - samples.mean(axis=1)).max() < 1e-6
    assert not caplog.records


def test_windows_of_a_recording_that_is_cut_off_have_their_full_length(sound, caplog):
    data = ENCODINGS["flac"].encode(mono(sound(4.0)), 16_000)
    caplog.set_level(logging.WARNING)
    with audio.Recording(data[: len(data) // 2], on_damage="skip") as recording:
        seconds = recording.info.duration
        assert 1.0 < seconds < 2.5
        waveform = recording.load(offset=0.5, duration=0.5)
        assert np.abs(waveform - sound(4.0)[8_000:16_000]).max() < 1e-4
        assert len(recording.load(offset=0.25)) == round((seconds - 0.25) * 16_000)
    assert len(caplog.records) == 1


def test_a_damaged_part_becomes_silence_when_transcribing(sound, caplog):
    data = bytearray(ENCODINGS["flac"].encode(mono(sound(4.0)), 16_000))
    middle = len(data) // 2
    data[middle : middle + 5_000] = bytes(5_000)
    with pytest.raises(AudioError):
        audio.load(bytes(data))
    with audio.Recording(bytes(data), on_damage="skip") as recording:
        assert len(recording.load(offset=2.5, duration=1.0)) == 16_000


def test_find_recordings_knows_every_format(tmp_path):
    for encoding in ENCODINGS:
        (tmp_path / f"a.{encoding.partition('-')[0]}").touch()
    (tmp_path / "notes.txt").touch()
    found = audio.find_recordings(tmp_path)
    assert [path.name for path in found] == sorted(
        {f"a.{name.partition('-')[0]}" for name in ENCODINGS}
    )


def test_a_folder_is_listed_in_order_without_hidden_folders_and_broken_links(tmp_path):
    for name in ("b/1.txt", "a.txt", "._a.txt", ".hidden/2.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "broken.wav").symlink_to(tmp_path / "none.wav")
    files, skipped = audio.list_files(tmp_path)
    assert files == [tmp_path / name for name in ("._a.txt", "a.txt", "b/1.txt")]
    assert sorted(skipped) == [
        (tmp_path / ".hidden", "hidden folder"),
        (tmp_path / "broken.wav", "broken link"),
    ]


def test_the_attribute_files_of_macos_are_no_recordings(tmp_path):
    for name in ("b.m4a", "._b.m4a", "notes.txt"):
        (tmp_path / name).touch()
    assert audio.find_recordings(tmp_path) == [tmp_path / "b.m4a"]


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege")
def test_folders_behind_links_are_followed_once(tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "a.wav").touch()
    (folder / "b.wav").touch()
    (folder / "link").symlink_to(outside)
    (folder / "sub" / "again").symlink_to(outside)
    (folder / "sub" / "loop").symlink_to(folder)
    (outside / "loop").symlink_to(outside)
    found = audio.find_recordings(folder)
    assert sorted(path.resolve() for path in found) == [folder / "b.wav", outside / "a.wav"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems require valid names")
def test_names_that_are_not_utf_8_are_read(tmp_path, sound):
    for name in ("wav", "m4a", "mp3"):
        path = tmp_path / os.fsdecode(b"caf\xe9." + name.encode())
        path.write_bytes(ENCODINGS[name].encode(mono(sound(0.5)), 16_000))
        assert audio.info(path).duration == 0.5
        assert len(audio.load(path)) == 8_000
    assert len(audio.find_recordings(tmp_path)) == 3


def test_pyav_is_imported_only_when_it_is_needed(tmp_path, sound):
    import subprocess

    for name, needed in (("wav", False), ("flac", False), ("m4a", True)):
        path = tmp_path / f"a.{name}"
        path.write_bytes(ENCODINGS[name].encode(mono(sound(0.5)), 16_000))
        code = f"import sys; from asr import audio; audio.load({str(path)!r})\n"
        code += "print('av' in sys.modules)"
        finished = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert finished.stdout.strip() == str(needed)
