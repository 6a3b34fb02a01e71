"""The workflow of CI and the Dockerfile name systems, files, and commands that exist."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
QUICK = "tests/quick.txt"


def test_ci_runs_the_quick_tests_on_four_systems() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    job = workflow["jobs"]["systems"]
    assert set(job["strategy"]["matrix"]["system"]) == {
        "ubuntu-latest",
        "ubuntu-24.04-arm",
        "macos-latest",
        "windows-latest",
    }
    assert job["runs-on"] == "${{ matrix.system }}"
    *_, install, test = job["steps"]
    assert install["run"] == 'python -m pip install -e ".[dev]"'
    assert test["run"] == f'python -m pytest "@{QUICK}"'
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert "dev" in extras["optional-dependencies"]


def test_ci_runs_everything_on_linux() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    *_, step = workflow["jobs"]["checks"]["steps"]
    assert step["run"] == "bash .ci/run"
    assert (ROOT / ".ci/run").is_file()


def test_the_quick_tests_exist() -> None:
    names = (ROOT / QUICK).read_text("utf-8").split()
    assert f"tests/{Path(__file__).name}" in names
    assert all((ROOT / name).exists() for name in names)


def instructions() -> list[tuple[str, str]]:
    """Return (instruction, arguments) of the Dockerfile, with continued lines joined."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, arguments) for name, _, arguments in (x.partition(" ") for x in lines)]


def test_the_image_runs_the_demo_without_root() -> None:
    steps = instructions()
    assert steps[0][0] == "ARG"
    assert steps[1] == ("FROM", "${BASE}")
    assert [arguments for name, arguments in steps if name == "USER"] == ["asr"]
    assert steps[-1] == ("CMD", '["make", "demo"]')
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(r"^demo: \$\(READY\)$", makefile, re.MULTILINE)
    assert "READY := .venv/.ready" in makefile
    runs = [arguments for name, arguments in steps if name == "RUN"]
    assert runs[-1].endswith("&& touch .venv/.ready")  # what `make install` creates


def test_the_image_gets_the_files_that_it_needs() -> None:
    copied = {
        source
        for name, arguments in instructions()
        if name == "COPY"
        for source in arguments.split()[1:-1]
    }
    ignored, *allowed = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert ignored == "*"
    sources = {line.removeprefix("!") for line in allowed if line.startswith("!")}
    assert all((ROOT / source).exists() for source in sources)
    assert copied - {"."} <= sources
    assert {"asr", "recipes", "conf", "Makefile"} <= sources
