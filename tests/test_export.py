"""Command line of the export to ONNX and to half precision."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from entry import Call, caller

from asr.export import main
from asr.inference.browser import RUNTIME_FILES
from asr.nn.ctc import CTCModel


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


def test_half_precision_halves_the_size_and_keeps_the_emissions(
    model: Path, call: Call
) -> None:
    assert call(main, model, "target=half").code == 0
    path = model.parent / "model.half.safetensors"
    assert path.stat().st_size < 0.7 * model.stat().st_size  # 0.5 and the header
    whole, half = CTCModel.load(model), CTCModel.load(path)
    waveform = np.random.default_rng(0).normal(size=16000).astype(np.float32)
    expected, actual = (each.compute_emissions([waveform]) for each in (whole, half))
    torch.testing.assert_close(actual.log_probs, expected.log_probs, atol=0.02, rtol=0)
    assert not torch.equal(actual.log_probs, expected.log_probs)
    assert {weight.dtype for weight in half.parameters()} == {torch.float32}
    assert half.scores == whole.scores


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
        (["{model}", "{model}", "output=a.onnx"], "output is for one model"),
        (["{model}", "output={model}"], "is the model itself; pass another output=FILE"),
        (["target=page", "{model}"], "target"),
        (["target=half", "weights=int8", "{model}"], "weights=int8 is for"),
        (
            ["target=web", "runtime={model}.missing", "{model}"],
            "is in dist/ of the npm package",
        ),
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
    for name in ("asr.inference.browser", "asr.nn.onnx_export", "asr.nn.onnx_graph"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    finished = call(main, model)
    assert finished.code == 2
    assert "pip install 'asr[onnx]'" in finished.complaint


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """Return a folder with stand-ins for the files of ONNX Runtime."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    for name in RUNTIME_FILES:
        (folder / name).write_bytes(name.encode())
    return folder


def test_the_page_is_a_folder_with_the_model_and_the_runtime(
    model: Path, runtime: Path, call: Call
) -> None:
    finished = call(main, model, "target=web", f"runtime={runtime}")
    assert (finished.code, finished.err) == (0, "")
    folder = model.with_suffix(".web")
    assert finished.out.startswith(f"{folder}: ")
    names = {path.name for path in folder.iterdir()}
    assert names >= {"index.html", "app.js", "style.css", "README.txt", *RUNTIME_FILES}
    for name in RUNTIME_FILES:
        assert (folder / name).read_bytes() == name.encode()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["engine"] == "onnx"
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["asr"])
    assert config["model"].items() >= metadata.items()
    assert config["sizes"]["model.onnx"] == (folder / "model.onnx").stat().st_size


def test_the_page_replaces_an_earlier_one_and_keeps_other_files(
    model: Path, runtime: Path, call: Call, tmp_path: Path
) -> None:
    (tmp_path / "page").mkdir()
    for name in ("app.js", "config.json", "model.onnx"):
        (tmp_path / "page" / name).write_text("old", encoding="utf-8")
    (tmp_path / "page" / "notes.txt").write_text("mine", encoding="utf-8")
    settings = [
        "target=web",
        "weights=int8",
        f"runtime={runtime}",
        f"output={tmp_path}/page",
    ]
    assert call(main, model, *settings).code == 0
    assert (tmp_path / "page" / "app.js").read_text(encoding="utf-8") != "old"
    assert (tmp_path / "page" / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_the_page_does_not_replace_another_site(
    model: Path, runtime: Path, tmp_path: Path, call: Call
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("my site")
    finished = call(main, model, "target=web", f"output={site}", f"runtime={runtime}")
    assert finished.code == 2
    assert "index.html exists; pass another output=FOLDER" in finished.complaint
    assert [path.read_text() for path in site.iterdir()] == ["my site"]


def test_a_runtime_that_cannot_be_downloaded_has_one_line(
    model: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    finished = call(main, model, "target=web")
    assert finished.code == 2
    assert "install Node.js. Or pass runtime=FOLDER" in finished.complaint
    npm = tmp_path / "npm"
    npm.write_text(
        "#!/bin/sh\necho npm error network is down >&2; exit 1\n", encoding="utf-8"
    )
    npm.chmod(0o755)
    finished = call(main, model, "target=web")
    assert finished.code == 2
    assert "npm cannot download" in finished.complaint
    assert "network is down" in finished.complaint
    npm.write_text("#!/bin/sh\necho damaged > package.tgz\n", encoding="utf-8")
    finished = call(main, model, "target=web")
    assert finished.code == 2
    assert "another checksum" in finished.complaint
    assert not model.with_suffix(".web").exists()
