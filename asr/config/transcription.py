"""The work of `asr.transcribe`: from the recordings to the output."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from omegaconf import DictConfig

from asr.audio import Channel
from asr.config.build import instantiate
from asr.config.inputs import InputFile, paused_gc
from asr.config.outputs import Output, OutputFolder, StandardOutput, check_overwrite
from asr.config.progress import TranscriptionProgress, wants_progress
from asr.errors import AsrError, AudioError, ConfigError
from asr.inference.model import load_model
from asr.inference.transcriber import Transcriber
from asr.inference.transcript import Transcript


def open_output(cfg: DictConfig, inputs: Sequence[InputFile]) -> Output:
    """Return the output that the settings choose.

    Raises:
        ConfigError: If the settings do not fit the recordings.
        OSError: If the folder cannot be written.
    """
    check_overwrite(cfg.output, cfg.overwrite)
    formats = [cfg.format] if isinstance(cfg.format, str) else list(cfg.format)
    if cfg.output is None:
        return StandardOutput(formats, inputs)
    folder = Path(cfg.output)
    return OutputFolder(
        folder, formats, inputs, channel=cfg.channel, overwrite=cfg.overwrite
    )


def transcribe_inputs(cfg: DictConfig, output: Output) -> Iterator[AsrError]:
    """Transcribe the pending recordings of an output, and yield the errors of single ones.

    With a folder, the last line on standard error summarizes the work.

    Raises:
        ConfigError: If a setting of the decoder is wrong.
        ModelError: If the checkpoint is not a model.
        OSError: If no file can be written.
    """
    inputs = output.pending
    to_files = cfg.output is not None
    show = wants_progress(cfg.progress, inputs, prints=not to_files)
    transcriber = load_transcriber(cfg) if inputs else None
    each = cfg.channel == "each"
    with TranscriptionProgress(inputs, show=show, each_channel=each) as progress:
        if transcriber:
            batcher = transcriber.batcher
            batcher.on_batch = progress.compute
            results = _transcribe(transcriber, inputs, cfg.channel)
            try:
                yield from _write_results(results, output, progress)
            except KeyboardInterrupt as error:
                if to_files:
                    error.args = ("interrupted; run the command again to continue",)
                raise
            finally:
                batcher.close()
    if to_files:
        print(progress.summarize(output.done), file=sys.stderr)


def load_transcriber(cfg: DictConfig) -> Transcriber:
    """Return the transcriber of the settings."""
    with paused_gc():
        decoder = instantiate("decoder", cfg.decoder)
        model = load_model(cfg.checkpoint, device=cfg.device, engine=cfg.engine)
        return Transcriber(model, decoder, vad=cfg.vad)


def _transcribe(
    transcriber: Transcriber,
    inputs: Sequence[InputFile],
    channel: Channel | Literal["each"],
) -> Iterator[Sequence[Transcript] | AudioError]:
    """Yield the transcripts of each recording, one for each channel, or its error."""
    sources = [item.source for item in inputs]
    if channel == "each":
        yield from transcriber.transcribe_many_channels(sources)
        return
    for result in transcriber.transcribe_many(sources, channel=channel):
        yield result if isinstance(result, AudioError) else [result]


def _write_results(
    results: Iterator[Sequence[Transcript] | AudioError],
    output: Output,
    progress: TranscriptionProgress,
) -> Iterator[AsrError]:
    """Write the results of the pending recordings as they come, and yield the errors."""
    for item, result in zip(output.pending, results, strict=True):
        if isinstance(result, AudioError):
            progress.failed += 1
            with progress.hidden():
                output.fail(item, result)
            yield result
        else:
            try:
                with progress.hidden():
                    output.write(item, result)
            except ConfigError as error:
                progress.failed += 1
                yield error
            else:
                progress.advance(result[0].duration)
