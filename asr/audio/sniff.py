"""Recognize the format of a recording by its first bytes, whatever its name."""

from asr.audio.mp3 import ID3_HEADER_SIZE, find_frame, id3_size

HEAD_SIZE = 1 << 16  # bytes; enough for the header chunks of a WAV file

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_EBML = bytes.fromhex("1a45dfa3")
_W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}
_SIGNATURES = {
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"caff": "caf",
    b".snd": "au",
    b"NIST": "nist",
    _ASF: "asf",
    _EBML: "matroska",
    _W64: "w64",
    b"#!AMR": "amr",
    b"FLV\x01": "flv",
    b"wvpk": "wv",
    b"TTA1": "tta",
    b"MAC ": "ape",
    b"\x0b\x77": "ac3",
    b"\x00\x00\x01\xba": "mpeg",
    b"Creative Voice File": "voc",
}
_FORMS = {  # type at byte 8 of a RIFF or IFF file
    (b"RIFF", b"WAVE"): "wav",
    (b"RIFX", b"WAVE"): "wav",
    (b"RF64", b"WAVE"): "wav",
    (b"BW64", b"WAVE"): "wav",
    (b"RIFF", b"AVI "): "avi",
    (b"FORM", b"AIFF"): "aiff",
    (b"FORM", b"AIFC"): "aiff",
}


def sniff(head: bytes) -> str:
    """Return the format of a file that starts with `head`, such as "wav", or "" if unknown.

    FFmpeg's own search is not used, because it also accepts playlists that name other files.
    """
    form = _FORMS.get((head[:4], head[8:12]))
    if form:
        return form
    if head[4:8] in _MP4_BOXES:
        return "mov"
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            return name
    if head[:1] == b"G" and head[188:189] == b"G" and head[376:377] == b"G":
        return "mpegts"
    return _sniff_stream(head)


def _sniff_stream(head: bytes) -> str:
    """Recognize a stream of frames, which may follow an ID3 tag."""
    start = 0
    while head.startswith(b"ID3", start) and len(head) >= start + ID3_HEADER_SIZE:
        start += id3_size(head, start)
    if start >= len(head):
        return "mp3" if start else ""  # a large tag with a picture
    if head.startswith(b"fLaC", start):
        return "flac"
    if head[start] == 0xFF and start + 1 < len(head) and head[start + 1] & 0xF6 == 0xF0:
        return "aac"
    return "mp3" if start or find_frame(head, start) is not None else ""
