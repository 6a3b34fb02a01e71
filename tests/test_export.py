"""Command line of the export to ONNX."""

import sys
from pathlib import Path

import onnxruntime
import pytest
from entry import Call, caller

from asr.export import main


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes((trained / "model.safetensors").read_bytes())
    return path


def test_the_file_is_beside_the_model(model: Path, call: Call) -> None:
    finished = call(main, model)
    assert (finished.code, finished.err) == (0, "")
    assert finished.out.startswith(f"{model.with_suffix('.onnx')}: ")
    assert onnxruntime.InferenceSession(model.with_suffix(".onnx")).get_inputs()


def test_8_bit_weights_have_a_file_of_their_own(model: Path, call: Call) -> None:
    assert call(main, model).code == call(main, model, "weights=int8").code == 0
    sizes = [
        p.stat().st_size
        for p in (model.parent / "model.int8.onnx", model.with_suffix(".onnx"))
    ]
    assert sizes[0] < sizes[1]


def test_output_names_the_file(model: Path, tmp_path: Path, call: Call) -> None:
    path = tmp_path / "new" / "digits.onnx"
    assert call(main, model, f"output={path}").code == 0
    assert path.is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["weights=int4", "{model}"], "weights"),
        (["wieghts=int8", "{model}"], "wieghts"),
        (["weights=int8"], "no model"),
        (["{model}", "{model}", "output=a.onnx"], "output is one file"),
        (["{model}.missing"], "no such model"),
        (["{text}"], "not a trained model"),
    ],
)
def test_wrong_arguments_have_one_line_and_write_nothing(
    arguments: list[str], message: str, model: Path, call: Call
) -> None:
    text = model.parent / "text.txt"
    text.write_text("words", encoding="utf-8")
    before = sorted(model.parent.iterdir())
    finished = call(main, *(each.format(model=model, text=text) for each in arguments))
    assert finished.code == 2
    assert message in finished.complaint
    assert sorted(model.parent.iterdir()) == before


def test_a_missing_package_is_named(
    model: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    for name in ("asr.nn.onnx_export", "asr.nn.onnx_graph"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    finished = call(main, model)
    assert finished.code == 2
    assert "pip install 'asr[onnx]'" in finished.complaint
