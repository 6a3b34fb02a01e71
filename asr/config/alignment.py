"""Inputs and output files of `asr.align`."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from asr.audio import Channel
from asr.config.app import compose
from asr.config.inputs import STDIN, find_inputs
from asr.config.outputs import (
    channel_suffix,
    check_ctm_names,
    check_overwrite,
    check_writable,
    explain_outdated,
    is_file,
    is_older,
    make_formats,
    plan_files,
    write_file,
)
from asr.data.manifest import read_manifest
from asr.errors import AsrError, AudioError, ConfigError, TextError
from asr.inference.formats import Ctm
from asr.inference.timeline import AlignmentRequest, Timeline

TEXT = "text="  # not parsed by Hydra, whose grammar rejects the punctuation of sentences
PATH = re.compile(r".+\.(txt|md|srt|vtt|csv|docx?|odt|rtf|pdf)|\.{0,2}/\S*", re.IGNORECASE)


def compose_align(overrides: Sequence[str]) -> tuple[DictConfig, str | None]:
    """Return the configuration of `asr.align`, and the value of text= unchanged."""
    texts = [override for override in overrides if override.startswith(TEXT)]
    cfg = compose("align", [override for override in overrides if override not in texts])
    text = texts[-1].removeprefix(TEXT) if texts else cfg.text
    return cfg, text


def collect_requests(
    files: Sequence[str],
    text: str | None,
    manifest: str | None,
    channel: Channel = "mix",
) -> tuple[list[AlignmentRequest], list[AsrError]]:
    """Return a request for each recording, and the errors of recordings that have no text.

    Args:
        files: Recordings, folders, and "-" for standard input.
        text: Words or the path of a text file; None for the text file beside each recording.
        manifest: Manifest that replaces both.
        channel: Channel of the recordings to align.

    Raises:
        ConfigError: If no recording is given, or recordings and a manifest.
        ManifestError: If the manifest cannot be read.
    """
    if manifest is not None:
        if files or text is not None:
            raise ConfigError("manifest=FILE has recordings and texts; omit the others")
        return _manifest_requests(manifest, channel), []
    if not files:
        raise ConfigError("no recording; pass files, folders, -, or manifest=FILE")
    if text is None and STDIN in files:
        raise ConfigError("standard input has no text beside it; pass text=...")
    words = None if text is None else _parse_text(text)
    inputs, empty = find_inputs(files)
    requests: list[AlignmentRequest] = []
    errors: list[AsrError] = [*empty]
    for item in inputs:
        try:
            own_words = _read_text_beside(Path(item.name)) if words is None else words
        except AsrError as error:
            errors.append(error)
        else:
            requests.append(
                AlignmentRequest(
                    item.name, item.source, own_words, channel=channel, label=item.label
                )
            )
    return requests, errors


def _manifest_requests(manifest: str, channel: Channel) -> list[AlignmentRequest]:
    """Return a request for each utterance. "mix" keeps the channels of the manifest."""
    utterances = read_manifest(manifest)
    if channel != "mix":
        utterances = [replace(utterance, channel=channel) for utterance in utterances]
    return [AlignmentRequest.from_utterance(utterance) for utterance in utterances]


def _parse_text(value: str) -> str:
    """Return the content of a text file if the value is its path, otherwise the value."""
    if os.path.isfile(value):  # noqa: PTH113  # pathlib raises for a long sentence
        return _read_text(Path(value))
    if PATH.fullmatch(value):
        raise ConfigError(f"text={value}: no such file; pass a path or the words")
    return value


def _read_text_beside(recording: Path) -> str:
    """Return the content of the text file beside a recording."""
    path = recording.with_suffix(".txt")
    if not recording.exists():
        raise AudioError(f"{recording}: no such file; check the path")
    if not path.exists():
        raise TextError(f"{recording}: no {path.name} beside it; pass text=...")
    return _read_text(path)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "not UTF-8 text")
        raise TextError(f"{path}: {reason}") from None


class AlignmentWriter:
    """Writer of alignments to standard output, or to one file per recording.

    A file that exists is kept without `overwrite`, because it may be corrected by hand.

    Attributes:
        pending: The recordings to align.
        done: Number of recordings whose files are there already.
        errors: Errors of files that are older than their recordings.
    """

    def __init__(self, cfg: DictConfig, requests: Sequence[AlignmentRequest]) -> None:
        """Create the folder and find the recordings that are not done.

        Args:
            cfg: Settings of `asr.align`.
            requests: Recordings, in order.

        Raises:
            ConfigError: If settings exclude each other.
            OSError: If the folder cannot be written.
        """
        if cfg.unit == "characters" and cfg.format != "ctm":
            both = cfg.format in ("json", "textgrid")
            hint = f"{cfg.format} has words and characters" if both else "pass format=ctm"
            raise ConfigError(f"unit=characters is for format=ctm; {hint}")
        check_overwrite(cfg.output, cfg.overwrite)
        (self._format,) = make_formats(
            [cfg.format], to_files=cfg.output is not None, joined=len(requests) > 1
        )
        if isinstance(self._format, Ctm):
            self._format.unit = cfg.unit
        labels = _label_requests(requests)
        self.pending, self.done, self.errors = list(requests), 0, list[AsrError]()
        self._names = [r.name for r in requests] if cfg.format == "json" else labels
        self._paths: list[Path] = []
        if cfg.output is None and cfg.format == "ctm":
            sources = [
                STDIN if isinstance(r.source, bytes) else str(r.source) for r in requests
            ]
            check_ctm_names(zip(sources, labels, strict=True))
        if cfg.output is not None:
            folder = Path(cfg.output)
            names = [request.name for request in requests]
            named = zip(names, _file_labels(requests, labels), strict=True)
            plan = plan_files(folder, named, [self._format.suffix])
            self._paths = [path for (path,) in plan]
            check_writable(folder)
            if not cfg.overwrite:
                self._keep_existing()

    def _keep_existing(self) -> None:
        """Leave out the recordings whose files exist."""
        rows = list(zip(self.pending, self._names, self._paths, strict=True))
        missing = [row for row in rows if not is_file(row[2])]
        outdated = [
            path
            for request, _, path in rows
            if is_file(path) and is_older(path, request.source)
        ]
        self.errors = explain_outdated(outdated)
        self.done = len(rows) - len(missing) - len(outdated)
        self.pending = [request for request, _, _ in missing]
        self._names = [name for _, name, _ in missing]
        self._paths = [path for _, _, path in missing]

    def write(self, number: int, timeline: Timeline) -> None:
        """Print the timeline of a pending recording, or write its file and print the path."""
        text = self._format.render(self._names[number], [timeline])
        if not self._paths:
            print(text, end="", flush=True)
            return
        write_file(self._paths[number], text)
        print(self._paths[number], flush=True)


def _label_requests(requests: Sequence[AlignmentRequest]) -> list[str]:
    """Return the label of each recording.

    Recordings of a manifest are labeled by their path below their common folder. If they are on
    several drives of Windows, they have none, and their names are returned.
    """
    if all(request.label for request in requests):
        return [request.label for request in requests]
    sources = [None if isinstance(r.source, bytes) else str(r.source) for r in requests]
    paths = [os.path.abspath(source) for source in sources if source]  # noqa: PTH100
    try:
        base = os.path.commonpath([Path(path).parent for path in paths]) if paths else "."
        labels = [
            os.path.relpath(source, base) if source else "stdin" for source in sources
        ]
    except ValueError:
        labels = [Path(source).name if source else "stdin" for source in sources]
    return [Path(label).with_suffix("").as_posix() for label in labels]


def _file_labels(
    requests: Sequence[AlignmentRequest], labels: Sequence[str]
) -> Iterator[str]:
    """Yield the label of each request with its segment and channel."""
    for request, label in zip(requests, labels, strict=True):
        offset = f"@{request.offset:g}" if request.offset else ""
        yield f"{label}{offset}{channel_suffix(request.channel)}"
