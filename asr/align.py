"""Put a known text on the time axis: python -m asr.align FILE|FOLDER|- ... text=TEXT [key=value ...]

Prints when each word is said. A folder stands for every recording below it, - for one on standard input. Without
text= each recording has its text beside it, talk.txt for talk.wav. What cannot be read, or has no text that it could
hold, is named on standard error, the others go on, and the exit code is 2. A text that does not fit what is heard is
named too, and aligned as well as it can be.

  text=TEXT         the words themselves, or the path of a file that holds them
  manifest=FILE     align the utterances of a manifest (JSON lines) instead of recordings
  checkpoint=PATH   the trained model (outputs/synthetic/model.safetensors)
  format=ctm        a line for each word: recording, channel, start, duration, word, score
        =textgrid   for Praat: tiers of words, of characters, and of words that do not fit
        =srt        subtitles, spelled as the text is; (?) follows words that do not fit
        =json       a line for each recording, with words and characters
  unit=characters   a line of ctm for each character (of a model trained with tokenizer=bpe: for each piece of a word)
  out=FOLDER        a file for each recording, laid out as the recordings are
  min_score=0.15    words, and texts, that score less do not fit (0 to 1)
  device=cuda       where to run (cpu)
  -v                the traceback of an error
"""

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asr.config import launch as quick
from asr.errors import AsrError, AudioError, ConfigError, TextError
from asr.validation import check_number

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from asr.inference.timeline import AlignmentRequest, Format

TEXT = "text="  # taken as it stands: Hydra would stumble over the commas and quotes of a sentence


def main() -> None:
    """Entry point."""
    quick.run(str(__doc__), align, "asr.align")


def align(arguments: list[str]) -> None:
    """Align what the arguments name. Raises an AsrError before the first recording, SystemExit(2) after failures."""
    from asr.config import app as cli

    texts = [argument.removeprefix(TEXT) for argument in arguments if argument.startswith(TEXT)]
    others = [argument for argument in arguments if not argument.startswith(TEXT)]
    overrides = [argument for argument in others if "=" in argument and not _exists(argument)]
    names = [argument for argument in others if argument not in overrides]
    unknown = [name for name in names if name.startswith("-") and name != "-" and not _exists(name)]
    if unknown:
        raise ConfigError(f"{unknown[0]}: no such option; see --help")
    cfg = cli.compose("align", overrides)
    form = _format(cfg)
    text = _given(texts[-1]) if texts else None
    recordings, failures = _recordings(names, text, cfg.manifest)
    if len(recordings) + len(failures) > 1 and cfg.out is None and not form.joinable:
        raise ConfigError(
            f"format={cfg.format} holds one recording; give out=FOLDER, for a file for each"
        )
    labels = _labels(recordings)
    targets = (
        _targets(Path(cfg.out), recordings, labels, form.suffix) if cfg.out is not None else None
    )
    for failure in failures:
        print(f"asr.align: {failure}", file=sys.stderr)
    failed = bool(failures)
    for i, result in enumerate(_aligned(recordings, cfg)):
        name = recordings[i].name
        if isinstance(result, AsrError):
            print(f"asr.align: {result}", file=sys.stderr)
            failed = True
            continue
        if not result.fits:
            print(
                f"asr.align: {name}: the text does not fit the audio (score {result.score:.2f})",
                file=sys.stderr,
            )
        written = form.write(name if cfg.format == "json" else labels[i], result)
        if targets is None:
            print(written, end="", flush=True)
        else:
            targets[i].parent.mkdir(parents=True, exist_ok=True)
            targets[i].write_text(written, encoding="utf-8")
            print(targets[i], flush=True)
    if failed:
        raise SystemExit(cli.BAD_INPUT)


def _format(cfg: "DictConfig") -> "Format":
    """The format that is asked for. Raises ConfigError where it, or another setting, makes no sense."""
    from asr.inference.timeline import FORMATS, Ctm

    if cfg.format not in FORMATS:
        raise ConfigError(f"format is {cfg.format!r}; it must be {', '.join(FORMATS)}")
    if cfg.unit not in ("words", "characters"):
        raise ConfigError(f"unit is {cfg.unit!r}; it must be words or characters")
    if cfg.unit == "characters" and cfg.format == "srt":
        raise ConfigError(
            "unit=characters makes no subtitles; ctm can list characters, textgrid and json have both"
        )
    check_number("min_score", cfg.min_score, ge=0, le=1)
    if cfg.text is not None:  # +text=... and the like, which the command line takes to Hydra
        raise ConfigError("text must be given as text=...")
    return (
        Ctm(characters=cfg.unit == "characters") if cfg.format == "ctm" else FORMATS[cfg.format]()
    )


def _given(value: str) -> str:
    """The text that text= stands for: that of a file where one has this path, else the value itself."""
    if _exists(value) and Path(value).is_file():
        return _read(Path(value))
    if len(value.split()) == 1 and (value.endswith(".txt") or value.startswith(("/", "./", "../"))):
        raise ConfigError(
            f"text={value}: no such file; give the path of one, or the words themselves"
        )
    return value


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TextError(
            f"{path}: {getattr(error, 'strerror', None) or 'not a text in UTF-8'}"
        ) from None


def _recordings(
    names: Sequence[str], text: str | None, manifest: str | None
) -> tuple[list["AlignmentRequest"], list[AsrError]]:
    """What the arguments stand for, in order, and what of it has no text or is not there."""
    from asr.inference.timeline import AlignmentRequest

    if manifest is not None:
        from asr.data.manifest import read_manifest

        if names or text is not None:
            raise ConfigError(
                "manifest names recordings and texts of its own; give either it or those"
            )
        utterances = read_manifest(manifest)
        return [
            AlignmentRequest(u.name, u.audio, u.text, offset=u.offset, duration=u.duration)
            for u in utterances
        ], []
    if not names:
        raise ConfigError(
            "no recording given; name files or folders, - for standard input, or manifest=FILE"
        )
    recordings: list[AlignmentRequest] = []
    failures: list[AsrError] = []
    for path in _paths(names):
        try:
            if isinstance(path, AsrError):
                raise path
            said = _beside(path) if text is None else text
            source = sys.stdin.buffer.read() if str(path) == "-" else path
        except AsrError as error:
            failures.append(error)
        else:
            recordings.append(AlignmentRequest(str(path), source, said))
    return recordings, failures


def _paths(names: Sequence[str]) -> Iterator[Path | AsrError]:
    from asr import audio

    for name in names:
        path = Path(name)
        if name != "-" and path.is_dir():
            found = audio.find_recordings(path)
            yield from found
            if not found:
                yield AudioError(f"{name}: the folder holds no recordings")
        else:
            yield path


def _beside(recording: Path) -> str:
    """The text that lies beside a recording."""
    path = recording.with_suffix(".txt")
    if str(recording) == "-":
        raise TextError("standard input has no text beside it; give text=...")
    if not recording.exists():
        raise AudioError(f"{recording}: no such file; check the path")
    if not path.exists():
        raise TextError(
            f"{recording}: there is no {path.name} beside it; write one, or give text=..."
        )
    return _read(path)


def _labels(recordings: Sequence["AlignmentRequest"]) -> list[str]:
    """What each recording is called without its ending: its path below the folder that holds them all."""
    paths = [
        Path("stdin")
        if isinstance(r.source, bytes)
        else Path(os.path.normpath(Path(str(r.source)).absolute()))
        for r in recordings
    ]
    folders = [path.parent for path in paths if path.is_absolute()]
    base = os.path.commonpath(folders) if folders else "."
    return [
        (path.relative_to(base) if path.is_absolute() else path).with_suffix("").as_posix()
        for path in paths
    ]


def _targets(
    out: Path, recordings: Sequence["AlignmentRequest"], labels: Sequence[str], suffix: str
) -> list[Path]:
    """The file of each recording. Raises ConfigError for two of the same name and for a folder that cannot be made."""
    taken: dict[Path, str] = {}
    for recording, label in zip(recordings, labels, strict=True):
        piece = f"@{recording.offset:g}" if recording.offset else ""
        target = out / f"{label}{piece}{suffix}"
        if target in taken:
            raise ConfigError(
                f"{target} would hold both {taken[target]} and {recording.name}; align them one by one"
            )
        taken[target] = recording.name
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"out={out}: cannot be made ({error.strerror})") from None
    return list(taken)


def _aligned(recordings: Sequence["AlignmentRequest"], cfg: "DictConfig"):  # type: ignore[no-untyped-def]
    """A timeline or an error for each recording. Here torch is imported, where there is anything to align."""
    if not recordings:
        return
    from asr.inference.aligner import Aligner

    aligner = Aligner.load(cfg.checkpoint, min_score=cfg.min_score, device=cfg.device)
    gc.freeze()
    gc.enable()
    yield from aligner.align(recordings)


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # a sentence is too long for a path
        return False


if __name__ == "__main__":
    main()
