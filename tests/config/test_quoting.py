"""Settings and commands as text that Hydra and a shell read back."""

import shlex
import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from asr.config.quoting import quote_override, shell_command

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(text=TEXT)
def test_hydra_reads_a_quoted_text_as_it_is(text: str) -> None:
    (override,) = OverridesParser.create().parse_overrides([quote_override("dir", text)])
    assert override.value() == text


@pytest.mark.skipif(sys.platform == "win32", reason="its shell has other quotes")
@given(argument=TEXT, text=TEXT)
def test_a_shell_and_hydra_read_a_command_back(argument: str, text: str) -> None:
    command = shlex.split(shell_command("asr.adapt", argument, dir=text))
    assert command[:4] == ["python", "-m", "asr.adapt", argument]
    (override,) = OverridesParser.create().parse_overrides(command[4:])
    assert str(override.value()) == text


def test_plain_paths_stay_as_they_are() -> None:
    command = shell_command(
        "asr.transcribe", "talk.wav", checkpoint="outputs/a-1/m.safetensors"
    )
    assert (
        command == "python -m asr.transcribe talk.wav checkpoint=outputs/a-1/m.safetensors"
    )
