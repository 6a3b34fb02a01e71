"""Utterances to listen to: audio, pictures, and words that a page contains as data URIs."""

import base64
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy import ndarray

from asr.audio import SAMPLE_RATE
from asr.errors import AudioError
from asr.evaluation.evaluator import load_beginning
from asr.evaluation.report import Result
from asr.inference.model import AcousticModel
from asr.nn.mel import mel_filterbank
from asr.text import BLANK, Tokenizer

N_MELS, N_FFT, HOP = 80, 512, 320  # settings of the picture: 20 ms between columns
DYNAMIC_RANGE = 70.0  # dB between the darkest and the brightest color
WEBP_QUALITY = 60
MIN_PROBABILITY = 0.1  # a token that never exceeds it has no row
MAX_ROWS = 24  # tokens in the picture of emissions
INK = (37, 99, 235)  # RGB color of a certain token


@dataclass(frozen=True)
class Example:
    """An utterance with its audio and pictures as data URIs.

    Attributes:
        result: The utterance and its errors.
        problem: Why there is no audio; empty if there is.
        seconds: Length of the audio, which is cut after one window.
        audio: Opus in an Ogg container.
        log_mel: Picture of mel energies over time.
        emissions: Picture of token probabilities over time, one row for each of `tokens`.
        tokens: Likely tokens from top to bottom; the last is the blank.
    """

    result: Result
    problem: str = ""
    seconds: float = 0.0
    audio: str = ""
    log_mel: str = ""
    emissions: str = ""
    tokens: tuple[str, ...] = ()


def load_examples(results: Iterable[Result], model: AcousticModel) -> Iterator[Example]:
    """Yield an example for each result. Its recording is read and computed again."""
    for result in results:
        try:
            waveform = load_beginning(result.utterance)
            audio = encode_opus(waveform)
        except (AudioError, soundfile.SoundFileError) as error:
            yield Example(result, problem=str(error))
            continue
        (log_probs,) = model.compute_emissions([waveform]).rows()  # (U, V)
        rows = likely_tokens(log_probs) if len(log_probs) else []
        yield Example(
            result,
            seconds=len(waveform) / SAMPLE_RATE,
            audio=audio,
            log_mel=draw_log_mel(waveform),
            emissions=draw_emissions(log_probs[:, rows]),
            tokens=tuple(_name_token(model.tokenizer, row) for row in rows),
        )


def encode_opus(waveform: ndarray) -> str:
    """Return a waveform (S,) at 16 kHz as a data URI of about 4 kB per second."""
    file = io.BytesIO()
    options = {"samplerate": SAMPLE_RATE, "channels": 1, "format": "OGG"}
    with soundfile.SoundFile(file, "w", subtype="OPUS", **options) as encoder:
        encoder.write(waveform)
    return _data_uri("audio/ogg", file)


def draw_log_mel(waveform: ndarray) -> str:
    """Return a picture of the mel energies of a waveform (S,) relative to the loudest, in dB."""
    from matplotlib import colormaps

    padded = np.pad(waveform, (0, max(0, N_FFT - len(waveform))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]  # (T, N_FFT)
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(N_FFT))))
    level = 10 * np.log10(power @ mel_filterbank(N_MELS, N_FFT) + 1e-10)  # (T, F)
    brightness = 1 + (level - level.max()) / DYNAMIC_RANGE
    pixels = colormaps["magma"](brightness.T[::-1].clip(0, 1), bytes=True)  # (F, T, 4)
    return _save_picture(pixels[..., :3], "WEBP", quality=WEBP_QUALITY, method=6)


def draw_emissions(log_probs: ndarray) -> str:
    """Return a picture of log-probabilities (U, rows). Its opacity is the probability.

    Without frames, there is no picture.
    """
    if not log_probs.size:
        return ""
    opacity = np.round(15 * np.exp(log_probs.T)) * 17  # 16 levels compress well
    pixels = np.zeros((*opacity.shape, 4), np.uint8)
    pixels[..., :3] = INK
    pixels[..., 3] = opacity
    return _save_picture(pixels, "PNG", optimize=True)


def likely_tokens(log_probs: ndarray) -> list[int]:
    """Return the labels that exceed MIN_PROBABILITY in log-probabilities (U, V), the blank last.

    Of more than MAX_ROWS, the most frequent are returned.
    """
    probabilities = np.exp(log_probs)
    probabilities[:, BLANK] = 0.0
    labels = np.flatnonzero(probabilities.max(axis=0, initial=0.0) > MIN_PROBABILITY)
    by_frequency = labels[np.argsort(-probabilities[:, labels].sum(axis=0), kind="stable")]
    return [*sorted(by_frequency[: MAX_ROWS - 1].tolist()), BLANK]


def _name_token(tokenizer: Tokenizer, label: int) -> str:
    return "blank" if label == BLANK else tokenizer.tokens[label - 1].replace(" ", "space")


def _save_picture(pixels: ndarray, kind: str, **options: object) -> str:
    from PIL import Image  # matplotlib needs it too

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return _data_uri(f"image/{kind.lower()}", file)


def _data_uri(kind: str, file: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
