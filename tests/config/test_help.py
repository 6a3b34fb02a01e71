"""--help shows every setting of a command with its comment, without Hydra."""

import subprocess
import sys

import pytest

from asr.config.help import WIDTH, describe_command
from asr.config.option_files import CONF

COMMANDS = ["train", "evaluate", "tune", "compare", "preview", "serve"]


def lines_of(command: str) -> list[str]:
    return describe_command(command, "What it does.").splitlines()


@pytest.mark.parametrize("command", COMMANDS)
def test_lines_are_short_and_comments_are_in_one_column(command: str) -> None:
    for line in lines_of(command):
        assert len(line) <= WIDTH, line
        assert line == line.rstrip()


def test_each_setting_has_its_default_and_its_comment() -> None:
    text = " ".join(" ".join(lines_of("train")).split())
    assert (
        "freeze=0 lower layers that keep the weights of init, with the convolutions;"
        in text
    )
    assert "optimizer=adamw optimizer.lr=3.0e-3" in text
    assert "data=synthetic or an4, base," in text
    assert "data.batch_seconds=40 seconds of audio per batch, including padding" in text
    assert "data.max_seconds=20" in text  # of the base
    assert "experiment=an4 CMU AN4: 40 minutes of spelled words, digits, and dates" in text


def test_nested_settings_follow_their_parent() -> None:
    lines = lines_of("train")
    (recipe,) = [i for i, line in enumerate(lines) if line.startswith("  data.recipe ")]
    assert lines[recipe + 1].startswith("  data.recipe.root=")


def test_other_groups_are_not_shown() -> None:
    text = "\n".join(lines_of("evaluate"))
    assert "decoder=greedy" in text
    for group in ("experiment", "trainer", "augment"):
        assert f"{group}=" not in text
        assert (CONF / group).is_dir()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("arguments", [["-h"], ["a", "b", "--help"]])
def test_the_command_line_prints_it(command: str, arguments: list[str]) -> None:
    code = (
        "import sys, runpy\n"
        f"try: runpy.run_module('asr.{command}', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'hydra', 'lightning'} & set(sys.modules)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=600,
    )
    assert finished.stdout.startswith(f"usage: python -m asr.{command} ")
    assert "-v " in finished.stdout
    assert finished.stderr == ""
