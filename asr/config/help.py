"""The text of --help of a command with groups: its settings with their comments."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from textwrap import TextWrapper

from asr.config.option_files import CONF, Setting, read_groups, read_option

WIDTH = 100  # of lines, in characters
COLUMN = 40  # in which the comments start


def describe_command(
    name: str,
    description: str,
    overrides: Sequence[str] = (),
    arguments: str = "[group=option ...] [key=value ...]",
) -> str:
    """Return the usage of a command, its settings, and those of the options of its groups.

    Args:
        name: Name of the command, such as "train".
        description: Purpose of the command.
        overrides: Command line; its group=option replace the default options.
        arguments: Arguments in the usage line.
    """
    path = CONF / f"{name}.yaml"
    groups = dict(read_groups(path))
    for group, _, option in (override.partition("=") for override in overrides):
        if groups.get(group) and (CONF / group / f"{option}.yaml").is_file():
            groups[group] = option
    lines = [f"usage: python -m asr.{name} {arguments} [-v]", "", description.strip(), ""]
    lines += ["settings:", *_rows(read_option(path).settings), "", "options:"]
    if groups:
        lines += _row("group=option --help", "show the settings of another option")
        lines += _row("--cfg job", "print the complete configuration, and do nothing else")
    if "hparams" in groups:
        lines += _row("-m", "run each combination of values such as seed=1,2 (a sweep)")
    lines += _row("-v", "show the traceback of errors")
    for group, default in groups.items():
        lines += ["", *_describe_group(group, default)]
    return "\n".join(lines)


def _describe_group(group: str, default: str | None) -> Iterator[str]:
    """Yield the options of a group, and the settings of the default one."""
    names = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    if default is None:  # each option is a set of settings for other groups
        yield f"{group}:"
        for name in names:
            description = read_option(CONF / group / f"{name}.yaml").description
            yield from _row(f"{group}={name}", description.partition(". ")[0].rstrip("."))
        return
    others = ", ".join(name for name in names if name != default)
    yield from _row(f"{group}={default}", f"or {others}" if others else "", indent=0)
    settings = _settings(group, default)
    places = list(dict.fromkeys(key.partition(".")[0] for key in settings))
    ordered = sorted(
        settings.items(), key=lambda item: places.index(item[0].partition(".")[0])
    )
    yield from _rows([setting for _, setting in ordered], f"{group}.")


def _settings(group: str, name: str) -> dict[str, Setting]:
    """Return the settings of an option by their keys, with those of the options it starts from."""
    option = read_option(CONF / group / f"{name}.yaml")
    settings: dict[str, Setting] = {}
    for base in option.bases:
        settings |= _settings(group, base)
    for setting in option.settings:
        if setting.default == "null":  # removes a part of the base
            nested = f"{setting.key}."
            settings = {k: v for k, v in settings.items() if not k.startswith(nested)}
        inherited = settings.get(setting.key)
        comment = setting.comment or (inherited.comment if inherited else "")
        settings[setting.key] = replace(setting, comment=comment)
    return settings


def _rows(settings: Iterable[Setting], prefix: str = "") -> Iterator[str]:
    """Yield the lines of settings, without those that only contain others."""
    settings = list(settings)
    for setting in settings:
        holds_others = any(other.key.startswith(f"{setting.key}.") for other in settings)
        if setting.comment or not holds_others:
            default = setting.default.replace("???", "...")
            value = f"={default}" if default else ""
            yield from _row(f"{prefix}{setting.key}{value}", setting.comment)


def _row(name: str, meaning: str, indent: int = 2) -> list[str]:
    """Return the lines of a name and its meaning in two columns."""
    head = f"{' ' * indent}{name}".ljust(COLUMN - 2)
    wrapper = TextWrapper(
        WIDTH,
        initial_indent=f"{head}  ",
        subsequent_indent=" " * COLUMN,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return wrapper.wrap(meaning) or [head.rstrip()]
