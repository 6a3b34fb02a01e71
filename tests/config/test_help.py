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


def test_chosen_options_replace_the_default_ones() -> None:
    lines = describe_command("train", "", ["callbacks=averaged", "model=base", "model=x"])
    assert "callbacks.ema.decay=0.999" in lines
    assert "model.hidden_size=400" in lines
    assert "callbacks.stop.patience=30" in lines  # of the option that averaged starts from


def test_a_part_that_an_option_removes_has_no_settings() -> None:
    lines = describe_command("train", "", ["callbacks=last"])
    assert "callbacks.stop=null" in lines
    assert "callbacks.stop.patience" not in lines


def test_a_reader_that_closes_the_pipe_gets_no_traceback() -> None:
    command = [sys.executable, "-m", "asr.train", "--help"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(600) == 0


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
