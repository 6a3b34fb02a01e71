"""Speech synthesis with eSpeak NG through ctypes. The library comes as a Python wheel.

eSpeak NG allows one synthesizer per process and is not thread-safe. It keeps its state between
texts: noise and pitch flutter depend on everything synthesized before. For reproducible audio,
start a new process and synthesize the texts in a fixed order.
"""

from ctypes import (
    CDLL,
    CFUNCTYPE,
    c_char_p,
    c_int,
    c_long,
    c_size_t,
    c_uint,
    c_void_p,
    string_at,
)
from functools import cache

import numpy as np

from recipes.errors import RecipeError, convert_errors

# Constants of speak_lib.h
_RETRIEVAL = 2  # AUDIO_OUTPUT_SYNCHRONOUS
_DO_NOT_EXIT = 0x8000  # otherwise a missing voice folder ends the process
_RATE, _VOLUME, _PITCH = 1, 2, 3
_CHARACTERS, _UTF8 = 1, 1
_SYNTH_TYPES = (c_char_p, c_size_t, c_uint, c_int, c_uint, c_uint, c_void_p, c_void_p)

LOUDNESS = 50  # the default of 100 drives some variants into eSpeak's limiter


def synthesize(
    text: str, voice: str, *, speed: int = 175, pitch: int = 50
) -> tuple[np.ndarray, int]:
    """Synthesize a text. Return int16 samples (S,) and their rate in Hz (22,050).

    Args:
        text: The text, in the language of the voice.
        voice: Language and variant, such as "en-us+f3".
        speed: Words per minute, from 80 to 450.
        pitch: Pitch within the range of the variant, from 0 to 99.

    Raises:
        RecipeError: If the library does not load or does not know the voice.
    """
    library, rate, chunks, _ = _load()
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise RecipeError(
            f"eSpeak NG has no voice {voice!r}. List them with espeak-ng --voices."
        )
    for parameter, value in ((_RATE, speed), (_PITCH, pitch), (_VOLUME, LOUDNESS)):
        library.espeak_SetParameter(parameter, value, 0)
    chunks.clear()
    data = text.encode() + b"\0"
    error = library.espeak_Synth(data, len(data), 0, _CHARACTERS, 0, _UTF8, None, None)
    if error:
        raise RecipeError(f"eSpeak NG could not synthesize {text!r} (error {error}).")
    return np.frombuffer(b"".join(chunks), dtype=np.int16), rate


@cache
def _load() -> tuple[CDLL, int, list[bytes], object]:
    """Return the library, its rate in Hz, a list of int16 samples, and the callback that fills it.

    ctypes keeps no reference to the callback.
    """
    with convert_errors(ImportError, fix="Run pip install espeakng-loader."):
        import espeakng_loader
    problem = "eSpeak NG does not load on this machine"
    with convert_errors(OSError, RuntimeError, problem=problem):
        folder = espeakng_loader.get_data_path()
        library = CDLL(espeakng_loader.get_library_path())
    library.espeak_Synth.argtypes = _SYNTH_TYPES
    library.espeak_ng_SetRandSeed.argtypes = [c_long]
    rate = library.espeak_Initialize(_RETRIEVAL, 0, str(folder).encode(), _DO_NOT_EXIT)
    if rate <= 0:
        raise RecipeError(
            f"{folder}: no eSpeak NG voices. The path must be under 150 characters."
        )
    library.espeak_ng_SetRandSeed(0)  # espeak_Initialize seeds with the time
    chunks: list[bytes] = []

    @CFUNCTYPE(c_int, c_void_p, c_int, c_void_p)
    def collect(samples: int | None, count: int, events: int | None) -> int:
        if samples and count > 0:
            chunks.append(string_at(samples, 2 * count))
        return 0  # continue

    library.espeak_SetSynthCallback(collect)
    return library, rate, chunks, collect
