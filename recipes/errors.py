"""The error of the recipes, the conversion of library errors, and checks of settings."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asr.errors import AsrError

NAME = re.compile(r"\w[\w.-]*")  # the name of a corpus or a model becomes a file name


class RecipeError(AsrError):
    """An unusable setting, download, archive, table, or corpus. The message is one line."""


@contextmanager
def convert_errors(
    *errors: type[Exception], problem: str = "", fix: str = ""
) -> Iterator[None]:
    """Raise RecipeError("PROBLEM: reason. FIX") in place of the given errors of a library.

    Without a `problem`, the reason takes its place.

    Raises:
        RecipeError: If the block raises one of `errors`.
    """
    try:
        yield
    except errors as error:
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = text.splitlines()[0].rstrip(".:")
        message = f"{problem}: {reason}" if problem else reason
        raise RecipeError(f"{message}. {fix}".rstrip()) from None


def check_name(name: str | None) -> str:
    """Return a name, or "" for None. A path is refused, because it could lead out of a folder.

    Raises:
        RecipeError: If the name has other characters than a file name needs.
    """
    if name is not None and not NAME.fullmatch(name):
        raise RecipeError(
            f"name must consist of letters, digits, '.', '-', and '_', got {name!r}."
        )
    return name or ""


def check_not_input(setting: str, target: Path, manifest: Path) -> None:
    """Check that a new manifest does not replace the one that it is made of.

    Raises:
        RecipeError: If it does.
    """
    if target.resolve() == manifest.resolve():
        raise RecipeError(f"{target} would replace its own input. Pass another {setting}=.")
