"""Explanations of Hydra's errors in one line."""

import inspect
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from hydra.errors import HydraException, OverrideParseException
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from asr.config.quoting import quote
from asr.config.values import did_you_mean
from asr.errors import ConfigError

Configs = tuple[DictConfig, DictConfig]  # the chosen options, the default options

QUOTES = "[]'\" "  # characters around the words of a value


@contextmanager
def explain_hydra_errors(compose: Callable[[], Configs]) -> Iterator[None]:
    """Turn Hydra's errors into a ConfigError of one line; let other errors pass.

    `compose` returns the configurations without overrides except those that choose options, and
    without any.
    """
    try:
        yield
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        message = _explain(error, compose)
        if message is None:
            raise
        raise ConfigError(message) from error


def _explain(error: Exception, compose: Callable[[], Configs]) -> str | None:
    """Return the message for an error, or None if it is not an error of Hydra."""
    message = " ".join(str(error).split()).split(" Config search path:")[0]
    if isinstance(error, OverrideParseException):
        return _explain_syntax(error.override)
    if message.startswith("Config group override must be"):
        return "a group such as model or experiment must be one of its options; see --help"
    if several := re.match(r"Ambiguous value for argument '([^=]+)=([^']+)'", message):
        key, value = several.groups()
        sweep = "asr.train -m runs each value"
        return f"{key} is one value; pass {key}=[{value}] for a list, quote a text twice ({sweep})"
    if misspelled := re.match(r"Could not override '([^']*)'", message):
        return _explain_key(misspelled[1], *compose())
    if message.startswith("Only one of --run, --multirun"):
        return message
    if re.match(r".*Could not find 'hydra/(launcher|sweeper)/", message):
        message += ". If it is a plug-in, run pip install 'asr[sweep]'"
    return message if isinstance(error, HydraException | OmegaConfBaseException) else None


def _explain_key(key: str, chosen: DictConfig, default: DictConfig) -> str:
    """Return why a setting cannot be overridden."""
    if not key:
        return "a setting has no name; write KEY=VALUE without spaces"
    keys = _dotted_keys(chosen)
    group, _, name = key.rpartition(".")
    if key in (*keys, *_dotted_keys(default)):
        return f"{key}: the chosen option of {group} has no such setting or is null; see --help"
    # A typo is recognized without the class, which may take seconds to import.
    is_typo = get_close_matches(key, keys, cutoff=0.9)
    target = OmegaConf.select(chosen, f"{group}._target_")
    if target and not is_typo and name in inspect.signature(get_object(target)).parameters:
        return f"no setting {key!r} yet; +{key}=... adds it"
    return f"no setting {key!r} (--help shows them){did_you_mean(key, keys)}"


def _explain_syntax(override: str) -> str:
    """Return why Hydra cannot parse an override. Names with accents are the usual cause."""
    key, equals, value = override.partition("=")
    if not equals:
        return f"{override}: not a setting; pass KEY=VALUE"
    if value.startswith("["):
        value = f"[{','.join(quote(word.strip(QUOTES)) for word in value.split(','))}]"
    else:
        value = quote(os.path.expanduser(value.strip(QUOTES)))  # noqa: PTH111  # ~ is no syntax
    return f'{override}: syntax error; quote accents and symbols twice: "{key}={value}"'


def _dotted_keys(node: Any, prefix: str = "") -> list[str]:
    if isinstance(node, DictConfig):
        node = OmegaConf.to_container(node, resolve=False)
    if not isinstance(node, dict):
        return []
    keys = [f"{prefix}{key}" for key in node]
    return sum((_dotted_keys(node[key], f"{prefix}{key}.") for key in node), keys)
