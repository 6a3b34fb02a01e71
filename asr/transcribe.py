"""Transcribe recordings: python -m asr.transcribe FILE|FOLDER|- ... [key=value ...]

Prints the words of each recording on a line of its own, in order; a folder stands for every recording below it, - for
one on standard input. What cannot be read is named on standard error, the others go on, and the exit code is 2.

  checkpoint=PATH   the trained model (outputs/synthetic/model.safetensors)
  format=json       words with start and end in seconds and confidence, instead of text
  device=cuda       where to run (cpu)
  -v                the traceback of an error
"""

import gc
import sys
from pathlib import Path

from asr.config import launch as quick
from asr.errors import AsrError, AudioError, ConfigError


def main() -> None:
    """Entry point."""
    quick.run(str(__doc__), transcribe, "asr.transcribe")


def transcribe(arguments: list[str]) -> None:
    """Transcribe what the arguments name. Raises ConfigError or ModelError before, SystemExit(2) after failures."""
    from asr.config import app as cli
    from asr.config import build

    overrides = [argument for argument in arguments if _is_override(argument)]
    names = [argument for argument in arguments if not _is_override(argument)]
    unknown = [
        name for name in names if name.startswith("-") and name != "-" and not Path(name).exists()
    ]
    if unknown:
        raise ConfigError(f"{unknown[0]}: no such option; see --help")
    if not names:
        raise ConfigError("no recording given; name files, folders, or - for standard input")
    cfg = cli.compose("transcribe", overrides)

    from asr.inference.formats import FORMATS

    if cfg.format not in FORMATS:
        raise ConfigError(f"format is {cfg.format!r}; it must be {' or '.join(FORMATS)}")
    writer = FORMATS[cfg.format]()

    from asr.inference.transcriber import Transcriber

    transcriber = Transcriber.load(
        cfg.checkpoint, decoder=build.instantiate("decoder", cfg.decoder), device=cfg.device
    )
    gc.freeze()
    gc.enable()
    failed = False
    for name, source in _sources(names):
        try:
            if isinstance(source, AsrError):
                raise source
            hypothesis = transcriber.transcribe(source)
        except AudioError as error:
            print(f"asr.transcribe: {error}", file=sys.stderr)
            failed = True
        else:
            print(writer.line(name, hypothesis), flush=True)
    if failed:
        raise SystemExit(cli.BAD_INPUT)


def _is_override(argument: str) -> bool:
    return "=" in argument and not Path(argument).exists()


def _sources(names: list[str]):  # type: ignore[no-untyped-def]
    """(name, path or bytes or error) of each recording that the arguments stand for."""
    from asr import audio

    for name in names:
        path = Path(name)
        if name == "-":
            yield "-", sys.stdin.buffer.read()
        elif path.is_dir():
            found = audio.find_recordings(path)
            yield from ((str(file), file) for file in found)
            if not found:
                yield name, AudioError(f"{name}: the folder holds no recordings")
        else:
            yield name, path


if __name__ == "__main__":
    main()
