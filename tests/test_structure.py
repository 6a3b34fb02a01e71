"""Structure of the code: which module may import which, sizes, and the cost of imports."""

import ast
import importlib
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "asr"
ROWS = (  # a module imports only from its own folder and from earlier rows; a folder is in one row
    (
        "asr.errors",
        "asr.files",
        "asr.processes",
        "asr.validation",
        "asr.tables",
        "asr.text",
        "asr.versions",
    ),
    ("asr.audio",),
    ("asr.nn",),
    ("asr.data",),
    ("asr.decode",),
    ("asr.inference",),
    ("asr.server",),
    ("asr.evaluation",),
    ("asr.training",),
    ("asr.config",),
    (
        "asr",
        "asr.train",
        "asr.evaluate",
        "asr.transcribe",
        "asr.tune",
        "asr.preview",
        "asr.align",
        "asr.export",
        "asr.serve",
        "asr.compare",
    ),
    ("asr.adapt",),  # trains like asr.train
)
ENTRY_POINTS = {*ROWS[-2], *ROWS[-1]} - {"asr"}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
SOURCES = [*MODULES.values(), *sorted((ROOT / "recipes").glob("*.py"))]
MAX_MODULE_LINES, MAX_ENTRY_POINT_LINES, MAX_FUNCTION_LINES = 350, 80, 45


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_modules(module: str) -> set[str]:
    """Return the full names of all modules that a module imports, also within functions."""
    imported = set()
    for node in ast.walk(parse(MODULES[module])):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import in line {node.lineno}"
            assert node.module
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            imported |= {name if name in MODULES else node.module for name in names}
    return imported


def folder(module: str) -> str:
    """Return the package of a module in `asr`, such as "asr.nn", or the module itself."""
    return ".".join(module.split(".")[:2])


def row(module: str) -> int:
    return next(i for i, members in enumerate(ROWS) if folder(module) in members)


def test_every_module_and_folder_has_a_row():
    assert {folder(module) for module in MODULES} == {
        member for row in ROWS for member in row
    }


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_only_from_later_rows_to_earlier_rows(module):
    for imported in imported_modules(module):
        if imported.split(".")[0] == "asr":
            assert imported in MODULES
            same_folder = folder(imported) == folder(module) and folder(module) != "asr"
            both_basic = row(imported) == row(module) == 0
            assert row(imported) < row(module) or same_folder or both_basic, (
                f"{module} imports {imported}"
            )


def test_there_are_no_import_cycles():
    graph = {
        module: imported_modules(module) & MODULES.keys() - {module} for module in MODULES
    }
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", MODULES)
def test_only_the_config_layer_imports_hydra_and_only_training_imports_lightning(module):
    packages = {name.split(".")[0] for name in imported_modules(module)}
    if folder(module) not in {"asr.config", *ENTRY_POINTS}:
        assert not packages & {"hydra", "omegaconf"}
    if folder(module) not in {"asr.training", "asr.train"}:
        assert not packages & {"lightning", "pytorch_lightning"}
    assert "recipes" not in packages


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short_and_have_a_docstring(module):
    lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert lines <= (MAX_ENTRY_POINT_LINES if module in ENTRY_POINTS else MAX_MODULE_LINES)
    assert ast.get_docstring(parse(MODULES[module]))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_are_short(path):
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno
            lines = node.end_lineno - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem
)
def test_the_names_that_a_benchmark_imports_exist(path):
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in (
            "asr",
            "recipes",
        ):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                assert hasattr(module, alias.name) or importlib.import_module(
                    f"{node.module}.{alias.name}"
                )


def printed_words(code: str) -> set[str]:
    """Return the words that a new interpreter prints when it runs the code."""
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(process.stdout.split())


def loaded_packages(code: str, *names: str) -> set[str]:
    """Return the words that the code prints and which of the packages it loads."""
    return printed_words(
        f"{code}\nimport sys; print(*[name for name in {names!r} if name in sys.modules])"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_arrays_do_not_request_huge_pages(monkeypatch):
    monkeypatch.delenv("NUMPY_MADVISE_HUGEPAGE", raising=False)  # this process has set it
    code = (
        "from asr.config.environment import set_library_defaults\nset_library_defaults()\n"
    )
    code += "import numpy\narray = numpy.ones(2**22)\n"
    code += (
        "print(*[line for line in open('/proc/self/smaps') if line.startswith('VmFlags')])"
    )
    assert "hg" not in printed_words(code)


@pytest.mark.parametrize("entry_point", sorted(ENTRY_POINTS))
def test_library_defaults_are_set_before_numpy_starts(entry_point):
    code = (
        f"import sys, {entry_point}\nprint('numpy' in sys.modules, 'torch' in sys.modules)"
    )
    assert printed_words(code) == {"False"}


def test_import_asr_imports_nothing_heavy_and_has_no_side_effects():
    code = "import os\nbefore = dict(os.environ)\nimport asr\nprint(dict(os.environ) == before)"
    assert loaded_packages(code, "torch", "numpy", "hydra") == {"True"}


@pytest.mark.parametrize("entry_point", ["transcribe", "align", "export", "adapt"])
def test_help_imports_nothing_heavy(entry_point):
    code = f"import asr.{entry_point}, sys, contextlib\nsys.argv = ['', '-h']\n"
    code += f"with contextlib.suppress(SystemExit): asr.{entry_point}.main()"
    heavy = ("torch", "hydra", "lightning")
    assert not loaded_packages(code, *heavy) & set(heavy)


@pytest.mark.parametrize(
    ("engine", "package"), [("torch", "torch"), ("onnx", "onnxruntime")]
)
def test_transcription_imports_only_what_it_needs(
    build, recording, tmp_path, engine, package
):
    build().save(tmp_path / "model.safetensors")
    files = [str(recording("a.wav", 0.3))]
    overrides = [f"checkpoint={tmp_path}/model.safetensors", "format=json"]
    overrides.append(f"engine={engine}")
    unneeded = (
        "lightning",
        "pytorch_lightning",
        "librosa",
        "numba",
        "tensorboard",
        "matplotlib",
        "pandas",
        "jiwer",
    )
    code = (
        f"from asr import transcribe; list(transcribe.transcribe({files!r}, {overrides!r}))"
    )
    words = loaded_packages(code, "torch", "onnxruntime", "hydra", *unneeded)
    assert {"hydra", '{"file":'} <= words
    assert not words & set(unneeded)
    assert words & {"torch", "onnxruntime"} == {package}


def test_a_model_loads_and_transcribes_without_hydra_and_lightning(
    build, recording, tmp_path
):
    build().save(tmp_path / "model.safetensors")
    code = f"import asr; print(asr.load({str(tmp_path / 'model.safetensors')!r})"
    code += f".transcribe({str(recording('a.wav', 0.3))!r}).score)"
    unneeded = ("hydra", "omegaconf", "lightning")
    assert not loaded_packages(code, *unneeded) & set(unneeded)
