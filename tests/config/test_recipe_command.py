"""The command line of a recipe: typed settings, one line per error, and exit codes."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
from rich.table import Table

from asr.config.app import run_recipe
from asr.errors import AsrError
from asr.tables import print_tables

RECIPES = ("an4", "folder", "fsdd", "librispeech", "speechcommands", "speechocean762")


class Recipe:
    """Function that records its arguments, or raises an error."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.arguments: dict[str, object] | None = None
        self.function = self._make_function(error)

    def _make_function(self, error):
        def toy(
            *,
            root: Path = Path("data"),
            parts: Sequence[str] = ("a", "b"),
            count: int = 8,
            share: float = 0.1,
            words: Literal["all", "few"] = "all",
            table: Path | None = None,
            again: bool = False,
        ) -> None:
            """Prepare a toy."""
            self.arguments = {
                k: v for k, v in locals().items() if k not in ("self", "error")
            }
            if error:
                raise error

        return toy


def run(capsys, *arguments, error=None):
    recipe = Recipe(error)
    try:
        code = run_recipe(recipe.function, arguments)
    except SystemExit as exit_request:  # --help
        code = exit_request.code
    return recipe.arguments, code, capsys.readouterr()


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("root=~/x", Path.home() / "x"),
        ("root=2024", Path("2024")),
        ("parts=[train-clean-5,dev-clean]", ["train-clean-5", "dev-clean"]),
        ("parts=[19, 26]", ["19", "26"]),
        ("parts=dev-clean", ["dev-clean"]),
        ("parts=[]", []),
        ("parts=[yes,no,1e3]", ["yes", "no", "1e3"]),
        ("count=0", 0),
        ("share=1", 1.0),
        ("share=0.25", 0.25),
        ("words=few", "few"),
        ("table=my file.csv", Path("my file.csv")),
        ("table=null", None),
        ("root=2026_11_26", Path("2026_11_26")),
        ("root=007", Path("007")),
        ("again=true", True),
    ],
)
def test_a_setting_has_the_type_of_its_annotation(capsys, argument, value):
    received, code, _ = run(capsys, argument)
    assert code == 0
    assert received[argument.partition("=")[0]] == value


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("cuont=3", "no setting 'cuont'; did you mean count?"),
        (
            "zzz=3",
            "no setting 'zzz'; the settings are root, parts, count, share, words, table, again",
        ),
        ("--root=data", "no setting '--root'; did you mean root?"),
        ("again", "again has no value; pass again=..."),
        ("count=many", "count must be an integer, got 'many'"),
        ("count=1.5", "count must be an integer, got 1.5"),
        ("count=true", "count must be an integer, got True"),
        ("share=[1]", "share must be a number, got [1]"),
        ("again=3", "again must be true or false, got 3"),
        ("root=[a]", "root must be a path, got ['a']"),
        ("words=some", "words must be one of all, few, got 'some'"),
        ("parts=[a", "parts=[a: syntax error; quote the value"),
        ("root=${nope}", "root=${nope}: syntax error; quote the value"),
    ],
)
def test_a_wrong_setting_gives_one_line_and_exit_code_2(capsys, argument, message):
    received, code, output = run(capsys, argument)
    assert received is None
    assert code == 2
    assert output.err == f"recipes.toy: {message}\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (AsrError("bad\n  corpus"), "bad corpus"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.wav"),
            "x.wav: No space left on device; free space there or use another folder",
        ),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "x"),
            "x: Permission denied; use another folder",
        ),
        (OSError("odd"), "odd"),
    ],
)
def test_an_error_gives_one_line_and_v_adds_the_traceback(capsys, error, message):
    _, code, output = run(capsys, error=error)
    assert (code, output.err) == (2, f"recipes.toy: {message}\n")
    _, code, output = run(capsys, "-v", error=error)
    assert code == 2
    assert "Traceback" in output.err
    assert output.err.endswith(f"recipes.toy: {message}\n")


def test_messages_do_not_end_up_in_the_results_if_standard_error_is_closed(
    capsys, monkeypatch
):
    monkeypatch.setattr(sys, "stderr", None)
    _, code, output = run(capsys, error=AsrError("bad"))
    assert (code, output.out) == (2, "")


def test_tables_need_no_standard_output(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    print_tables(Table("a"))


def test_an_interruption_gives_one_line_and_exit_code_130(capsys):
    _, code, output = run(capsys, error=KeyboardInterrupt())
    assert (code, output.err) == (
        130,
        "recipes.toy: interrupted; run the command again to resume\n",
    )


def test_a_fault_of_the_program_keeps_its_traceback(capsys):
    with pytest.raises(ZeroDivisionError):
        run(capsys, error=ZeroDivisionError())


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_shows_the_docstring_and_every_key_with_its_default(capsys, flag):
    received, code, output = run(capsys, "count=3", flag)
    assert (received, code) == (None, 0)
    assert "Prepare a toy." in output.out
    rows = dict(
        line.split(maxsplit=1)
        for line in output.out.partition("defaults:\n")[2].splitlines()
    )
    assert rows["parts"] == "[a,b]"
    assert (rows["root"], rows["count"], rows["table"], rows["again"]) == (
        "data",
        "8",
        "-",
        "false",
    )


def test_every_recipe_is_a_command_that_does_not_import_torch():
    script = (
        "import importlib, sys\n"
        "from asr.config.app import run_recipe\n"
        f"for name in {RECIPES}:\n"
        "    module = importlib.import_module(f'recipes.{name}')\n"
        "    recipe = getattr(module, name)\n"
        "    try: run_recipe(recipe, ['--help'])\n"
        "    except SystemExit as exit_request: assert exit_request.code == 0\n"
        "    assert run_recipe(recipe, ['nonsense=1']) == 2\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("keys and their defaults") == len(RECIPES)


def test_a_recipe_module_ends_with_the_exit_code():
    done = subprocess.run(
        [sys.executable, "-m", "recipes.folder"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "recipes.folder: Pass audio=FOLDER, table=FILE, or both.\n"


def test_a_setting_without_default_is_required(capsys):
    def recipe(*, manifest: Path, count: int = 3) -> None:
        """Do nothing."""
        raise AssertionError

    assert run_recipe(recipe, ["count=1"]) == 2
    assert "pass manifest=...; --help describes it" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_recipe(recipe, ["--help"])
    assert re.search(r"manifest +required", capsys.readouterr().out)
