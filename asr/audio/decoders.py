"""Choose the decoder of a recording by its content."""

import io

import soundfile

from asr.audio.containers import HEAD_SIZE, inspect, parse_wav, sniff
from asr.audio.damage import find_damaged_page
from asr.audio.ffmpeg import FFmpegReader
from asr.audio.flac import FlacReader
from asr.audio.libsndfile import SoundFileReader
from asr.audio.mp3 import open_mp3
from asr.audio.readers import Content, Reader, join, open_content
from asr.errors import AudioError

LIBSNDFILE_FORMATS = {"wav", "flac", "ogg", "caf", "aiff", "au", "w64", "nistsphere", "voc"}
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 384_000  # Hz


def open_reader(source: Content, *, skip_damage: bool = False) -> Reader:
    """Open a recording, or several that were joined, with the decoder that reads it exactly.

    With `skip_damage`, damaged parts in the middle are read as zeros.

    Raises:
        AudioError: If the recording cannot be opened. The message lacks its name.
        OSError: If the file cannot be read.
    """
    reader, joint = _open_first(source, skip_damage)
    if not joint:
        return reader
    content = source if isinstance(source, bytes) else source.read_bytes()
    size = len(content)
    reader.close()
    readers = [_open_first(content[:joint], skip_damage)[0]]
    while joint:
        content = content[joint:]
        try:
            reader, joint = _open_first(content, skip_damage)
        except AudioError:
            first_byte = size - len(content)
            readers[
                0
            ].damage = f"damaged: the recording at byte {first_byte:,} is unreadable"
            break
        readers.append(_open_first(content[:joint], skip_damage)[0] if joint else reader)
    return join(readers)


def _open_first(source: Content, skip_damage: bool) -> tuple[Reader, int]:
    """Open the first recording of a file, and return the byte at which the next begins, or 0."""
    with open_content(source) as file:
        head = file.read(HEAD_SIZE)
        size = file.seek(0, io.SEEK_END)
        if not size:
            raise AudioError("empty file (0 bytes)")
        kind = sniff(head)
        damage, joint = inspect(kind, head, file, size)
        damaged_page = find_damaged_page(file) if kind == "ogg" else 0
    if damaged_page and skip_damage:
        return FFmpegReader(source, kind, skip_damage=True), 0
    if damaged_page:
        damage, joint = f"damaged: no page at byte {damaged_page:,}", 0
    is_stream = kind == "wav" and parse_wav(head, size)[1]
    reader = _open(source, kind, damage, is_stream, skip_damage)
    if fault := _find_implausible(reader):
        reader.close()
        raise AudioError(fault)
    return reader, joint


def _open(
    source: Content, kind: str, damage: str, is_stream: bool, skip_damage: bool
) -> Reader:
    """Return the first reader that opens a recording exactly, or libsndfile's if none does."""
    fallback: SoundFileReader | None = None
    reason = "Format not recognized"
    if kind in LIBSNDFILE_FORMATS:
        try:
            fallback = SoundFileReader(source, damage, skip_damage=skip_damage)
        except (soundfile.LibsndfileError, TypeError) as error:
            reason = getattr(error, "error_string", "") or str(error)
        if fallback and fallback.is_exact and (fallback.frames or not is_stream):
            return fallback
    try:
        if kind == "mp3":
            return join(open_mp3(source, skip_damage=skip_damage))
        if kind == "flac" and skip_damage:
            return FlacReader(source)
        if kind and kind != "voc":
            options = {"is_stream": is_stream, "skip_damage": skip_damage}
            reader = FFmpegReader(source, kind, damage=damage, **options)
            if reader.frames or not fallback:
                return reader
    except AudioError as error:
        reason = str(error)
    if fallback:
        return fallback
    if damage:
        raise AudioError(f"{damage}. Get a complete copy.")
    raise AudioError(
        f"not a recording that can be read ({reason.rstrip('. ')}). Convert it to WAV or FLAC."
    )


def _find_implausible(reader: Reader) -> str:
    """Return what is wrong with the properties of a recording, or ""."""
    rate = reader.sample_rate
    if not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
        limits = f"{MIN_SAMPLE_RATE:,} to {MAX_SAMPLE_RATE:,} Hz"
        return f"sample rate of {rate:,} Hz, expected {limits}. Export it again."
    if reader.channels < 1:
        return "has no channels"
    return "" if reader.frames > 0 else "contains no samples"
