"""Live audio of `asr.transcribe`: a microphone with --record, or a pipe with "-"."""

import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

import numpy as np
from omegaconf import DictConfig

from asr.config.inputs import RECORD, STDIN, open_stdin
from asr.config.transcription import load_transcriber
from asr.errors import AudioError, ConfigError
from asr.inference.live import (
    ENCODINGS,
    PcmFormat,
    read_header,
    read_pcm,
    record,
    until_interrupt,
)
from asr.inference.transcript import timed

FORMATS = ("text", "txt", "jsonl")  # that can be printed segment by segment

Blocks = Generator[np.ndarray]


def open_live(cfg: DictConfig, files: Sequence[str]) -> Blocks | bytes | None:
    """Return live audio if the command line has some.

    Returns:
        Blocks (S,) at 16 kHz of a microphone or a pipe, the content of a recording on standard
        input that must be read whole, or None if there is neither.

    Raises:
        ConfigError: If the settings do not fit.
        AudioError: If there is no microphone.
    """
    can_print = cfg.output is None and cfg.format in FORMATS and cfg.channel != "each"
    if RECORD in files:
        if len(files) > 1:
            raise ConfigError("--record takes no files")
        if {cfg.encoding, cfg.sample_rate, cfg.channels} != {None}:
            raise ConfigError(
                "encoding=, sample_rate=, and channels= are for -, not --record"
            )
        if not can_print or cfg.channel not in ("mix", 1):
            allowed = "format=text or format=jsonl, and neither output= nor channel="
            raise ConfigError(f"--record prints segments as they are spoken: use {allowed}")
        return record(cfg.microphone)
    if cfg.microphone is not None:
        raise ConfigError("microphone= needs --record")
    form = _find_format(cfg, files)
    if files != [STDIN] or not can_print:
        return form.to_wav(open_stdin().read()) if form else None
    source = form or read_header(open_stdin())
    if isinstance(source, bytes):
        return source
    return read_pcm(open_stdin(), source, channel=cfg.channel)


def _find_format(cfg: DictConfig, files: Sequence[str]) -> PcmFormat | None:
    """Return the format of raw samples on standard input if the settings have one.

    Raises:
        ConfigError: If the settings have only a part of it, or there is no standard input.
    """
    if cfg.encoding is None:
        if cfg.sample_rate is not None or cfg.channels is not None:
            raise ConfigError("sample_rate= and channels= need encoding=, such as s16le")
        return None
    if STDIN not in files:
        raise ConfigError("encoding= describes raw samples on standard input; pass -")
    return PcmFormat(cfg.sample_rate or 16_000, cfg.channels or 1, ENCODINGS[cfg.encoding])


def transcribe_live(cfg: DictConfig, blocks: Blocks) -> Iterator[AudioError]:
    """Print each segment when a pause closes it, up to Ctrl-C or an error, which is yielded.

    Raises:
        ConfigError: If a setting of the decoder is wrong.
        ModelError: If the checkpoint is not a model.
    """
    transcriber = load_transcriber(cfg)
    errors: list[AudioError] = []
    try:
        with closing(until_interrupt(_until_error(blocks, errors))) as live:
            for segment in transcriber.stream(live):
                line = segment.text
                if cfg.format == "jsonl":
                    entry = {**timed(segment), "words": [*map(timed, segment.words)]}
                    line = json.dumps(entry, ensure_ascii=False)
                print(line, flush=True)
    finally:
        transcriber.batcher.close()
    yield from errors


def _until_error(blocks: Blocks, errors: list[AudioError]) -> Blocks:
    """Yield blocks. An error that ends them goes to `errors`, so that no word before it is lost."""
    try:
        yield from blocks
    except AudioError as error:
        errors.append(error)
