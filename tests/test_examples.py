"""The script and the notebook in examples/ run."""

import runpy
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"
MAX_SECONDS = 900  # for one cell; it takes ten seconds on an idle machine


def test_the_script_prints_the_words_of_a_recording(
    trained: Path,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recording = min((corpus / "synthetic" / "test").rglob("*.flac"))
    script = EXAMPLES / "transcribe.py"
    monkeypatch.setattr(
        sys, "argv", [str(script), f"{trained}/model.safetensors", str(recording)]
    )
    runpy.run_path(str(script), run_name="__main__")
    text, *words = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in words] == text.split()


def test_the_notebook_is_stored_without_outputs() -> None:
    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)


def test_the_notebook_runs_from_the_first_cell_to_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPOCHS", "2")
    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=MAX_SECONDS, resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert any("WER" in output.get("text", "") for output in outputs)
