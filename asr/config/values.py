"""Conversion of settings to the types of their annotations, and hints for misspelled names."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from asr.errors import ConfigError

_TYPES: dict[Any, tuple[Any, str]] = {  # accepted types and their description
    bool: (bool, "true or false"),
    int: (int, "an integer"),
    float: (int | float, "a number"),
    str: (str, "text"),
    Path: (str | Path, "a path"),
}


def convert(name: str, value: Any, hint: Any) -> Any:
    """Return a setting as the annotated type.

    OmegaConf's structured configurations are not strict enough: they turn numbers into text, and
    YAML reads 2026_11_26 as 20261126.

    Args:
        name: Name of the setting in the error message.
        value: Value from YAML or the command line.
        hint: Any, bool, int, float, str, Path, a Literal, a sequence of one of these, a union of
            one of these with None, or Annotated with a function of the name and the value that
            checks it.

    Raises:
        ConfigError: If the value has another type or fails the check.
    """
    or_null = ""
    if NoneType in get_args(hint):
        hint, or_null = get_args(hint)[0], " or null"
    if hint is Any or (or_null and value is None):
        return value
    if get_origin(hint) is Annotated:
        try:
            return hint.__metadata__[0](name, value)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    if get_origin(hint) is Sequence:
        values = value if isinstance(value, list) else [value]
        return [convert(name, item, get_args(hint)[0]) for item in values]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if get_origin(hint) is Literal:
        words = [str(w).lower() if isinstance(w, bool) else w for w in get_args(hint)]
        accepted, wanted = value in get_args(hint), f"one of {', '.join(words)}"
    else:
        types, wanted = _TYPES[hint]
        accepted = isinstance(value, types) and (is_number or hint not in (int, float))
    if not accepted:
        is_text = hint in (str, Path) and is_number
        hint = f"; quote text twice: \"{name}='...'\"" if is_text else ""
        raise ConfigError(f"{name} must be {wanted}{or_null}, got {value!r}{hint}")
    return Path(value).expanduser() if hint is Path else value


def did_you_mean(key: str, keys: Sequence[str]) -> str:
    """Return a hint with the key of the same group that is spelled most similarly.

    Without a similar key there, name up to two from other groups; without any, return "".
    """
    group, dot, name = key.rpartition(".")
    names = {known: known.rpartition(".")[2] for known in keys}
    siblings = [last for known, last in names.items() if known == group + dot + last]
    matches = [group + dot + match for match in get_close_matches(name, siblings, n=1)]
    if not matches:
        similar = get_close_matches(name, set(names.values()), n=2)
        matches = [known for match in similar for known in keys if names[known] == match]
        matches = matches[:2]
    return f"; did you mean {' or '.join(matches)}?" if matches else ""
