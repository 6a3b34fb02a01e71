"""A recipe as a command: `python -m recipes.NAME key=value ...`; the keys are the recipe's arguments."""

import inspect
import sys
import traceback
import types
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml  # type: ignore[import-untyped]
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from asr.errors import AsrError, ConfigError

FAILED, INTERRUPTED = 2, 130  # exit codes


def command(recipe: Callable[..., object], arguments: Sequence[str] | None = None) -> int:
    """Run a recipe with the command line's settings; the exit code.

    An error that a user can mend is one line on standard error and exit code 2; `-v` adds the traceback.
    """
    name = f"recipes.{recipe.__name__}"
    given = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(given):
        print(_help(name, recipe))
        return 0
    verbose = bool({"-v", "--verbose"} & set(given))
    try:
        recipe(
            **_settings(
                recipe, [argument for argument in given if argument not in ("-v", "--verbose")]
            )
        )
    except KeyboardInterrupt:
        print(f"{name}: stopped; run it again to go on", file=sys.stderr)
        return INTERRUPTED
    except (AsrError, OSError) as error:
        if verbose:
            traceback.print_exc()
        print(f"{name}: {_line(error)}", file=sys.stderr)
        return FAILED
    return 0


def _settings(recipe: Callable[..., object], arguments: Sequence[str]) -> dict[str, Any]:
    hints = get_type_hints(recipe)
    keys = list(inspect.signature(recipe).parameters)
    settings: dict[str, Any] = {}
    for argument in arguments:
        key, equals, _ = argument.partition("=")
        if key not in keys:
            close = get_close_matches(key, keys, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(keys)}"
            raise ConfigError(f"no setting {key!r}; {hint}")
        if not equals:
            raise ConfigError(f"{key}: give it a value, as in {key}=...")
        settings[key] = _value(argument, hints[key])
    return settings


def _value(argument: str, hint: Any) -> object:
    """The value of key=value as the recipe's annotation asks for it. Raises ConfigError where it cannot be."""
    key, _, text = argument.partition("=")
    if get_origin(hint) in (Union, types.UnionType):
        if text == "null":
            return None
        hint = next(kind for kind in get_args(hint) if kind is not types.NoneType)
    try:
        if (
            get_origin(hint) is Sequence
        ):  # of strings: yes and no are words there, not true and false
            value = yaml.load(text, Loader=yaml.BaseLoader)
        else:
            value = OmegaConf.from_dotlist([argument])[key]
    except (OmegaConfBaseException, yaml.YAMLError):
        raise ConfigError(f"{argument}: cannot be read; put quotes around the value") from None
    if hint in (str, Path) and isinstance(value, int | float):
        value = text  # as it was written: 007, 2026_11_26
    return _typed(argument, list(value) if OmegaConf.is_list(value) else value, hint)


def _typed(argument: str, value: object, hint: Any) -> object:
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        if value in choices:
            return value
        raise ConfigError(f"{argument}: must be one of {', '.join(map(str, choices))}")
    if get_origin(hint) is not None:  # a sequence of strings; one alone needs no brackets
        items = value if isinstance(value, list) else [value]
        return [str(item) for item in items if item not in ("", "null")]
    if hint is Path and isinstance(value, str):
        return Path(value).expanduser()
    if hint in (str, bool) and isinstance(value, hint):
        return value
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    wanted = {
        Path: "a path",
        str: "a word",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
    }
    raise ConfigError(f"{argument}: must be {wanted[hint]}")


def _help(name: str, recipe: Callable[..., object]) -> str:
    parameters = inspect.signature(recipe).parameters.values()
    width = max(len(parameter.name) for parameter in parameters)
    keys = [f"  {parameter.name:<{width}}  {_shown(parameter.default)}" for parameter in parameters]
    usage = f"python -m {name} [key=value ...] [-v]"
    return "\n".join(
        [usage, "", inspect.getdoc(recipe) or "", "", "keys and their defaults:", *keys]
    )


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{','.join(map(str, value))}]"
    return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _line(error: Exception) -> str:
    """An error's message on one line; the system's own begin with the file that they are about."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
