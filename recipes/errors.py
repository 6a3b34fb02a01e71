"""The error of the recipes, and the conversion of library errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from asr.errors import AsrError


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
