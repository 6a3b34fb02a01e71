"""Transcribe recordings.

Prints the words of each recording on one line, in order. A folder stands for all recordings in it
and - for standard input. An unreadable recording is reported on standard error, the others are
transcribed, and the exit code is 2.

  checkpoint=PATH   trained model (outputs/synthetic/model.safetensors)
  format=json       words with start and end in seconds and confidence instead of text
  channel=1         first channel instead of the mix of all; each: every channel by itself
  device=cuda       device to run on (cpu)
  engine=onnx       ONNX Runtime, the default (auto) on a CPU if it is installed
        =torch      PyTorch
"""

from collections.abc import Iterator, Sequence

from asr.config.inputs import expand_folders, paused_gc, read_source, run_with_files
from asr.errors import AudioError, ConfigError


def transcribe(files: Sequence[str], overrides: Sequence[str]) -> Iterator[AudioError]:
    """Print the transcript of each recording, and yield the errors of unreadable ones.

    Raises:
        ConfigError: If a setting is wrong or there are no files.
        ModelError: If the checkpoint is not a model.
    """
    if not files:
        raise ConfigError("no recording; pass files, folders, or - for standard input")
    with paused_gc():
        from asr.config.app import compose
        from asr.config.build import instantiate
        from asr.config.environment import set_threads

        cfg = compose("transcribe", overrides)
        set_threads(cfg)

        from asr.inference.formats import TRANSCRIPT_FORMATS
        from asr.inference.model import load_model
        from asr.inference.transcriber import Transcriber

        decoder = instantiate("decoder", cfg.decoder)
        model = load_model(cfg.checkpoint, device=cfg.device, engine=cfg.engine)
        transcriber = Transcriber(model, decoder)
    writer = TRANSCRIPT_FORMATS[cfg.format]()
    for path in expand_folders(files):
        try:
            source = read_source(path)
            if cfg.channel == "each":
                hypotheses = [*transcriber.transcribe_channels(source)]
            else:
                hypotheses = [transcriber.transcribe(source, channel=cfg.channel)]
        except AudioError as error:
            yield error
        else:
            lines = [writer.render(str(path), hypothesis) for hypothesis in hypotheses]
            print("".join(lines), end="", flush=True)


def main() -> None:
    """Run the command line."""
    run_with_files("asr.transcribe", str(__doc__), transcribe)


if __name__ == "__main__":
    main()
