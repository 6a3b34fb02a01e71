"""Settings and commands as text that Hydra and a shell read back."""

import shlex

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import OverrideParseException


def quote_override(key: str, text: str) -> str:
    """Return an override that Hydra reads as this text, whatever its characters are."""
    return f"{key}={quote(text)}"


def quote(text: str) -> str:
    """Return a text in Hydra's quotes."""
    return str(QuotedString(text, Quote.single).with_quotes())


def shell_command(module: str, *arguments: object, **settings: object) -> str:
    """Return a command of a shell that runs a module.

    Args:
        module: Name of the module.
        arguments: Arguments such as files.
        settings: Texts that the command passes as key=text, in quotes if necessary.
    """
    overrides = [_override(key, str(text)) for key, text in settings.items()]
    return shlex.join(["python", "-m", module, *map(str, arguments), *overrides])


def _override(key: str, text: str) -> str:
    plain = f"{key}={text}"
    try:
        (parsed,) = OverridesParser.create().parse_overrides([plain])
    except OverrideParseException:
        return quote_override(key, text)
    return plain if parsed.value() == text else quote_override(key, text)
