"""The files in conf/ with their comments, for --help and for the reference pages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "conf"  # in a wheel; a clone has the folder beside the package
CONF = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "conf"
NOT_SETTINGS = {"defaults", "hydra", "_target_", "_partial_"}


@dataclass(frozen=True)
class Setting:
    """One key of a YAML file.

    Attributes:
        key: Name, nested keys with dots.
        default: Value in the syntax of the command line, "" for a mapping.
        comment: Meaning of the key.
        target: Class or function that a mapping builds, "" if it builds nothing.
    """

    key: str
    default: str
    comment: str
    target: str = ""


@dataclass(frozen=True)
class Option:
    """One YAML file: the comment at its top, its base options, its settings, and its text."""

    description: str
    bases: tuple[str, ...]
    settings: tuple[Setting, ...]
    text: str


def read_option(path: Path) -> Option:
    """Read a YAML file together with its comments."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    size = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    header = [line.lstrip("# ").rstrip() for line in lines[:size]]
    description = " ".join(line for line in header if not line.startswith("@package"))
    root = yaml.compose(text)
    defaults = (yaml.safe_load(text) or {}).get("defaults", [])
    bases = tuple(
        entry for entry in defaults if isinstance(entry, str) and entry != "_self_"
    )
    settings = tuple(_walk(root, lines, "")) if root is not None else ()
    return Option(description, bases, settings, "\n".join(lines[size:]).strip())


def _walk(node: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[Setting]:
    """Yield the settings of a YAML mapping, nested keys with dots."""
    for key, value in node.value:
        if key.value in NOT_SETTINGS:
            continue
        name = f"{prefix}{key.value}"
        comment = _comment(lines, key, value)
        if isinstance(value, yaml.MappingNode):
            comment = "" if value.flow_style else comment  # it is that of the nested keys
            target = next((v.value for k, v in value.value if k.value == "_target_"), "")
            yield Setting(name, "", comment, target)
            yield from _walk(value, lines, f"{name}.")
        else:
            default = " ".join(_source(lines, value).split())
            yield Setting(name, default.replace(", ", ","), comment)


def _source(lines: list[str], node: yaml.Node) -> str:
    """Return the source text of a YAML node."""
    first, last = node.start_mark, node.end_mark
    if first.line == last.line:
        return lines[first.line][first.column : last.column]
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:  # a block list
        return yaml.safe_dump(_plain(node), default_flow_style=True, width=1000).strip()
    middle = lines[first.line + 1 : last.line]
    return " ".join(
        [lines[first.line][first.column :], *middle, lines[last.line][: last.column]]
    )


def _plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child) for child in node.value]
    return node.value


def _comment(lines: list[str], key: yaml.Node, value: yaml.Node) -> str:
    """Return the comment of a key: the lines above it, the end of its line, and the lines below."""
    indent, line = key.start_mark.column, key.start_mark.line
    above: list[str] = []
    while line > 0 and re.match(rf" {{{indent}}}#", lines[line - 1]):
        line -= 1
        above.insert(0, lines[line])
    if line == 0:  # the comment at the top of the file describes the file
        above = []
    is_block = isinstance(value, yaml.CollectionNode) and not value.flow_style
    end = key.end_mark if is_block else value.end_mark
    _, _, after = lines[end.line][end.column :].partition("#")
    below = []
    for text in lines[end.line + 1 :] if after else []:
        if not re.match(rf" {{{indent + 1},}}#", text):
            break
        below.append(text)
    parts = [*above, after, *below]
    return " ".join(text.strip().lstrip("#").strip() for text in parts).strip()


def read_groups(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield the groups of a command and the option of each that is used by default."""
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")).get("defaults", []):
        if isinstance(entry, dict):
            group, default = next(iter(entry.items()))
            if not group.startswith("override"):
                yield group, default
