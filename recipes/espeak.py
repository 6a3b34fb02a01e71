"""eSpeak NG through ctypes: text in, samples out, nothing played and nothing installed beside a wheel.

eSpeak NG is one synthesiser a process, not safe for threads, and goes on where it stopped: its noise and the
flutter of its pitch depend on all that it has said before. What must come out the same every time is spoken
by a process that starts with it, in a fixed order.
"""

import ctypes
from functools import cache
from types import SimpleNamespace

import numpy as np

from asr.errors import AsrError

# The values of speak_lib.h
_RETRIEVAL = 2  # AUDIO_OUTPUT_SYNCHRONOUS
_DO_NOT_EXIT = 0x8000  # a missing voice folder must not end the process
_RATE, _VOLUME, _PITCH = 1, 2, 3
_CHARACTERS, _UTF8 = 1, 1

LOUDNESS = 50  # of 100 by default: some variants would run into eSpeak's limiter there


class EspeakError(AsrError):
    """The synthesiser cannot be loaded here, or refuses a voice."""


def speak(text: str, voice: str, *, speed: int = 175, pitch: int = 50) -> tuple[np.ndarray, int]:
    """What eSpeak NG says: int16 samples (S,) and their rate in Hz (22,050).

    `voice` is a language with a variant, as in "en-us+f3"; `speed` is in words a minute (80 to 450), `pitch`
    0 to 99 within the variant's range. Raises EspeakError where the library does not load, or does not know
    the voice.
    """
    espeak = _load()
    if espeak.library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise EspeakError(
            f"eSpeak NG has no voice {voice!r}; languages and variants are listed by espeak-ng --voices"
        )
    for parameter, value in ((_RATE, speed), (_PITCH, pitch), (_VOLUME, LOUDNESS)):
        espeak.library.espeak_SetParameter(parameter, value, 0)
    espeak.pieces.clear()
    data = text.encode() + b"\0"
    failed = espeak.library.espeak_Synth(data, len(data), 0, _CHARACTERS, 0, _UTF8, None, None)
    if failed:
        raise EspeakError(f"eSpeak NG could not say {text!r} (its error {failed})")
    return np.frombuffer(b"".join(espeak.pieces), dtype=np.int16), espeak.rate


@cache
def _load() -> SimpleNamespace:
    """The library, the list that its callback fills, and the rate in Hz."""
    try:
        import espeakng_loader

        folder = espeakng_loader.get_data_path()
        library = ctypes.CDLL(espeakng_loader.get_library_path())
    except ImportError:
        raise EspeakError("eSpeak NG is not installed: pip install espeakng-loader") from None
    except (OSError, RuntimeError) as error:
        raise EspeakError(f"eSpeak NG does not load on this machine: {error}") from None
    library.espeak_Synth.argtypes = [
        *(
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
        ),
        *(ctypes.c_void_p, ctypes.c_void_p),
    ]
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    rate = library.espeak_Initialize(_RETRIEVAL, 0, str(folder).encode(), _DO_NOT_EXIT)
    if rate <= 0:
        raise EspeakError(
            f"eSpeak NG does not find its voices in {folder} (does the path have over 150 characters?)"
        )
    library.espeak_ng_SetRandSeed(0)  # seeded with the time by now
    pieces: list[bytes] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
    def collect(samples: int | None, count: int, events: int | None) -> int:
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, 2 * count))
        return 0  # go on

    library.espeak_SetSynthCallback(collect)
    return SimpleNamespace(
        library=library, pieces=pieces, rate=rate, keep=collect
    )  # ctypes holds no reference itself
