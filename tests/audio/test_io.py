"""Loading recordings: formats, sample rates, parts of files, and one-line errors."""

import struct
import wave

import librosa
import numpy as np
import pytest
import soundfile

from asr import audio
from asr.audio.libsndfile import SoundFileReader
from asr.config.inputs import find_inputs
from asr.errors import AudioError

FORMATS = [  # extension, subtype, largest error of a sample (None: lossy, compare by correlation)
    ("wav", "PCM_U8", 0.01),
    ("wav", "PCM_16", 1e-4),
    ("wav", "PCM_24", 1e-6),
    ("wav", "PCM_32", 1e-6),
    ("wav", "FLOAT", 0.0),
    ("wav", "ULAW", 0.03),
    ("flac", "PCM_16", 1e-4),
    ("flac", "PCM_24", 1e-6),
    ("ogg", "VORBIS", None),
    ("opus", "OPUS", None),
    ("mp3", "MPEG_LAYER_III", None),
]


def options(extension, subtype):
    return {"subtype": subtype, **({"format": "OGG"} if extension == "opus" else {})}


def fails(source, *words, name=None):
    """Check that loading raises one line that starts with the name and contains the words."""
    with pytest.raises(AudioError) as caught:
        audio.load(source)
    message = str(caught.value)
    assert message.startswith(f"{name or source}: ")
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


@pytest.mark.parametrize(("extension", "subtype", "loss"), FORMATS)
def test_every_format_keeps_duration_and_waveform(
    recording, sound, extension, subtype, loss
):
    path = recording(f"a.{extension}", 1.5, **options(extension, subtype))
    waveform, original = audio.load(path), sound(1.5)
    assert waveform.dtype == np.float32
    assert waveform.shape == original.shape
    assert audio.info(path) == audio.AudioInfo(1.5, 16_000, 1)
    if loss is None:
        assert np.corrcoef(waveform, original)[0, 1] > 0.99
    else:
        assert np.abs(waveform - original).max() <= loss


@pytest.mark.parametrize(("extension", "subtype", "_"), FORMATS)
def test_bytes_load_like_the_file(recording, extension, subtype, _):
    path = recording(f"a.{extension}", 0.4, **options(extension, subtype))
    assert np.array_equal(audio.load(path.read_bytes()), audio.load(path))
    assert audio.info(path.read_bytes()) == audio.info(path)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_any_rate_is_resampled_to_16_khz_as_in_librosa(recording, sound, rate):
    path = recording("a.wav", 0.7, rate=rate, subtype="FLOAT")
    expected = librosa.resample(
        sound(0.7, rate), orig_sr=rate, target_sr=16_000, res_type="soxr_hq"
    )
    waveform = audio.load(path)
    assert waveform.dtype == np.float32
    assert abs(len(waveform) - 0.7 * 16_000) <= 1
    n = min(len(waveform), len(expected))
    assert np.abs(waveform[:n] - expected[:n]).max() < 1e-6
    assert audio.info(path).sample_rate == rate


def test_16_khz_is_not_resampled(recording, sound):
    assert np.array_equal(audio.load(recording("a.wav", 0.5, subtype="FLOAT")), sound(0.5))


def test_another_rate_can_be_requested(recording, sound):
    path = recording("a.wav", 0.5, rate=8_000, subtype="FLOAT")
    assert np.array_equal(audio.load(path, sample_rate=8_000), sound(0.5, 8_000))


@pytest.mark.parametrize("channels", [2, 3, 6])
def test_channels_are_averaged(tmp_path, sound, channels):
    samples = np.stack([sound(0.4, seed=i) for i in range(channels)], axis=1)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    assert np.abs(audio.load(tmp_path / "a.wav") - samples.mean(axis=1)).max() < 1e-6
    assert audio.info(tmp_path / "a.wav").channels == channels


@pytest.mark.parametrize("extension", ["wav", "flac"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_a_part_is_a_slice_of_the_complete_recording(recording, extension, rate):
    path = recording(f"a.{extension}", 2.0, rate=rate, subtype="PCM_16")
    whole = audio.load(path, sample_rate=rate)
    for offset, duration in [
        (0.0, 0.5),
        (0.25, 1.0),
        (1.5, 0.5),
        (0.7, None),
        (1.999, None),
    ]:
        first = round(offset * rate)
        end = len(whole) if duration is None else first + round(duration * rate)
        native = audio.load(path, offset=offset, duration=duration, sample_rate=rate)
        assert np.array_equal(native, whole[first:end])
        part = audio.load(path, offset=offset, duration=duration)
        assert np.abs(part - audio.resample(whole[first:end], rate, 16_000)).max() < 1e-6


def test_a_duration_may_exceed_the_end_by_a_rounding_error(recording):
    path = recording("a.wav", 1.0)
    assert len(audio.load(path, duration=1.04)) == 16_000
    assert len(audio.load(path, offset=0.5, duration=0.54)) == 8_000


@pytest.mark.parametrize(
    ("offset", "duration"), [(1.0, 0.5), (0.8, 0.5), (0.0, 1.2), (3.0, None)]
)
def test_a_part_beyond_the_end_is_an_error_with_both_times(recording, offset, duration):
    path = recording("a.wav", 1.0)
    with pytest.raises(
        AudioError,
        match=rf"^{path}: cannot load {offset:.2f} s to .*, because it ends at 1.00 s$",
    ):
        audio.load(path, offset=offset, duration=duration)


def test_info_decodes_only_the_end(recording):
    path = recording("a.flac", 10.0)
    content = path.read_bytes()
    destroyed = len(content) - 4_000 - 20_000
    path.write_bytes(content[:4_000] + bytes(destroyed) + content[-20_000:])
    assert audio.info(path).duration == 10.0
    fails(path)
    path.write_bytes(content[:4_000] + bytes(len(content) - 4_000))
    with pytest.raises(AudioError, match="cut off"):
        audio.info(path)


def test_a_clip_of_three_samples_is_valid(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.1, -0.2, 0.3]), 16_000, subtype="FLOAT")
    assert audio.load(tmp_path / "a.wav").tolist() == pytest.approx([0.1, -0.2, 0.3])
    soundfile.write(tmp_path / "b.wav", np.array([0.1, -0.2, 0.3]), 8_000, subtype="FLOAT")
    assert len(audio.load(tmp_path / "b.wav")) == 6


def test_find_recordings_lists_all_files_below_a_folder_in_order(recording):
    paths = [recording(name, 0.1) for name in ("b/2.wav", "a.flac", "b/1.WAV", "c/d/e.ogg")]
    folder = paths[1].parent
    (folder / "notes.txt").write_text("no recording")
    (folder / "folder.wav").mkdir()
    assert audio.find_recordings(folder) == sorted(paths)


def test_a_missing_file_is_an_error(tmp_path):
    fails(tmp_path / "none.wav", "no such file")
    with pytest.raises(AudioError, match="no such file"):
        audio.info(tmp_path / "none.wav")


@pytest.mark.parametrize("function", ["read", "check_end"])
def test_a_bug_in_a_reader_is_an_error_of_its_file(recording, monkeypatch, function):
    def fail(*_):
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(SoundFileReader, function, fail)
    path = recording("a.wav", 0.1)
    with pytest.raises(AudioError) as caught:
        audio.load(path, on_damage="skip")
    reason = "cannot be decoded (ZeroDivisionError: division by zero)"
    assert str(caught.value) == f"{path}: {reason}"


def test_only_the_command_line_names_standard_input():
    (item,), _ = find_inputs(["-"], b"text")
    fails(item.source, "not a recording", name="standard input")
    fails(b"text", "not a recording", name="recording")


def test_a_folder_and_an_impossible_name_are_errors(tmp_path):
    fails(tmp_path, "is a directory")
    fails(tmp_path / "a\0.wav", "embedded null")


def test_an_empty_file_is_an_error(tmp_path):
    (tmp_path / "a.wav").touch()
    fails(tmp_path / "a.wav", "empty file")
    fails(b"", "empty file", name="recording")


@pytest.mark.parametrize(
    "content",
    [b"This is not a recording.\n" * 20, b"RIFF", b"\0" * 100, b"fLaC" + b"\xff" * 50],
)
def test_other_content_is_an_error_despite_the_extension(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    fails(tmp_path / "a.wav", "not a recording that can be read", "WAV or FLAC")
    fails(content, "not a recording that can be read", name="recording")


def test_a_recording_without_samples_is_an_error(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16_000)
    fails(tmp_path / "a.wav", "contains no samples")
    with pytest.raises(AudioError, match="contains no samples"):
        audio.info(tmp_path / "a.wav")


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
def test_a_truncated_flac_is_an_error(recording, share):
    path = recording("a.flac", 4.0)
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    fails(path, "cut off")


def test_a_truncated_real_flac_is_an_error(tmp_path, shared_file):
    content = shared_file("librispeech", "flac").read_bytes()
    for share in (0.1, 0.5, 0.95):
        path = tmp_path / f"{share}.flac"
        path.write_bytes(content[: round(share * len(content))])
        fails(path, "cut off")


def test_a_truncated_flac_loads_up_to_the_cut(recording):
    path = recording("a.flac", 4.0)
    before = audio.load(path, duration=1.0)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert np.array_equal(audio.load(path, duration=1.0), before)
    with pytest.raises(AudioError, match="cut off"):
        audio.load(path, offset=3.0)


def test_a_truncated_wav_is_an_error_for_load_and_info(recording):
    path = recording("a.wav", 1.0)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    fails(path, "cut off: 16,022 of 32,044 bytes")
    with pytest.raises(AudioError, match="cut off"):
        audio.info(path)


def test_a_wav_with_a_wrong_length_in_its_header_is_an_error(recording):
    path = recording("a.wav", 1.0)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"data") + 4, 1_000_000)
    path.write_bytes(content)
    fails(path, "cut off: 32,044 of 1,000,044 bytes")


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_stream_of_unknown_length_loads_completely(recording, size):
    content = bytearray(recording("a.wav", 1.0).read_bytes())
    struct.pack_into("<I", content, content.index(b"data") + 4, size)
    assert len(audio.load(bytes(content))) == 16_000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_error_for_nan_and_infinite_samples_gives_their_time(tmp_path, sound, value):
    samples = sound(1.0)
    samples[12_000:12_003] = value
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    fails(tmp_path / "a.wav", "NaN or infinite sample at 0.75 s")
    assert len(audio.load(tmp_path / "a.wav", duration=0.5)) == 8_000
    with pytest.raises(AudioError, match=r"at 0\.75 s"):
        audio.load(tmp_path / "a.wav", offset=0.5)


def test_absurdly_large_samples_are_an_error(tmp_path, sound):
    samples = sound(1.0, 8_000)
    samples[4_000] = 1e38
    soundfile.write(tmp_path / "a.wav", samples, 8_000, subtype="FLOAT")
    fails(tmp_path / "a.wav", "implausible sample at 0.50 s")


def test_a_rate_of_0_hz_is_an_error(recording):
    path = recording("a.wav", 0.5)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"fmt ") + 12, 0)
    path.write_bytes(content)
    fails(path)
    with pytest.raises(AudioError):
        audio.info(path)


@pytest.mark.parametrize("extension", ["ogg", "mp3"])
def test_random_bytes_inside_a_file_load_or_raise_audio_error(recording, extension):
    path = recording(f"a.{extension}", 2.0)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = np.random.default_rng(0).bytes(200)
    path.write_bytes(content)
    try:
        assert np.isfinite(audio.load(path)).all()
    except AudioError as error:
        assert str(error).startswith(f"{path}: ")


def test_a_wav_with_more_chunks_before_its_samples_loads(tmp_path, recording, sound):
    content = recording("a.wav", 1.0).read_bytes()
    data = content.index(b"data")
    extra = b"LIST" + struct.pack("<I", 5) + b"abcde\0"
    size = struct.pack("<I", len(content) - 8 + len(extra))
    path = tmp_path / "b.wav"
    path.write_bytes(content[:4] + size + content[8:data] + extra + content[data:])
    assert np.array_equal(audio.load(path), audio.load(tmp_path / "a.wav"))


def test_a_wav_of_the_standard_library_loads(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes(np.array([0, 16_384, -32_768], dtype="<i2").tobytes())
    assert audio.load(tmp_path / "a.wav").tolist() == [0.0, 0.5, -1.0]
