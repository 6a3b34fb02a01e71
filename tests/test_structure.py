"""What keeps the house in order: who may import whom, how long a module may be, what an import costs."""

import ast
import importlib
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "asr"
ROWS = (  # imports go from a later row to an earlier one; a folder is one row
    ("asr.errors", "asr.files", "asr.validation", "asr.text"),
    ("asr.audio",),
    ("asr.nn",),
    ("asr.data",),
    ("asr.decode",),
    ("asr.inference",),
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
        "asr.compare",
    ),
)
ENTRIES = {"asr.config", *ROWS[-1]} - {"asr"}
MODULES = {
    ".".join(("asr", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports(module: str) -> set[str]:
    """The modules that a module imports anywhere in it, in full; of asr, the very modules."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively, line {node.lineno}"
            assert node.module
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found


def row(module: str) -> int:
    names = {module, ".".join(module.split(".")[:2])}
    return next(i for i, members in enumerate(ROWS) if names & set(members))


def test_every_module_has_its_row():
    without = [
        module
        for module in MODULES
        if not any(module in r or module.rpartition(".")[0] in r for r in ROWS[:-1])
    ]
    assert set(without) == set(ROWS[-1])


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_only_from_later_rows_to_earlier_ones(module):
    for imported in imports(module):
        if imported.split(".")[0] == "asr":
            same_folder = module.count(".") == 2 and imported.startswith(module.rpartition(".")[0])
            is_folder = imported.startswith(f"{module}.")
            assert imported in MODULES
            same_row = row(imported) == row(module) == 0
            assert row(imported) < row(module) or same_folder or is_folder or same_row, (
                f"{module} imports {imported}"
            )


def test_no_imports_in_a_circle():
    graph = {module: imports(module) & MODULES.keys() - {module} for module in MODULES}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", MODULES)
def test_only_entry_points_import_hydra_and_only_training_imports_lightning(module):
    packages = {name.split(".")[0] for name in imports(module)}
    if not {module, ".".join(module.split(".")[:2])} & ENTRIES:
        assert not packages & {"hydra", "omegaconf"}
    if module != "asr.train" and not module.startswith("asr.training"):
        assert not packages & {"lightning", "pytorch_lightning"}
    assert "recipes" not in packages


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_350_lines_at_most_and_says_what_it_is(module):
    text = MODULES[module].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 350
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize(
    "path", sorted((PACKAGE.parent / "benchmarks").glob("*.py")), ids=lambda path: path.stem
)
def test_what_a_benchmark_takes_from_here_is_there(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in (
            "asr",
            "recipes",
        ):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                assert hasattr(module, alias.name) or importlib.import_module(
                    f"{node.module}.{alias.name}"
                )


def printed(code: str) -> set[str]:
    """The words that a fresh interpreter prints while it runs the code."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    return set(done.stdout.split())


def loaded(code: str, *names: str) -> set[str]:
    """Which of the packages are loaded when a fresh interpreter has run the code."""
    return printed(
        f"{code}\nimport sys; print(*[name for name in {names!r} if name in sys.modules])"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="memory is looked at through /proc")
def test_large_arrays_do_not_ask_for_huge_pages(monkeypatch):
    monkeypatch.delenv("NUMPY_MADVISE_HUGEPAGE", raising=False)  # which this process has set
    code = "from asr.config.environment import set_library_defaults\nset_library_defaults()\n"
    code += "import numpy\nkept = numpy.ones(2**22)\n"
    code += "print(*[line for line in open('/proc/self/smaps') if line.startswith('VmFlags')])"
    assert "hg" not in printed(code)


def test_import_asr_does_not_wait_for_torch():
    assert loaded("import asr", "torch", "numpy", "hydra") == set()


@pytest.mark.parametrize("entry", ["transcribe", "align"])
def test_help_does_not_wait_for_torch(entry):
    code = f"import asr.{entry}, sys, contextlib\nsys.argv = ['', '-h']\n"
    code += f"with contextlib.suppress(SystemExit): asr.{entry}.main()"
    assert not loaded(code, "torch", "hydra", "lightning") & {"torch", "hydra", "lightning"}


def test_transcribing_imports_nothing_heavy_that_it_does_not_need(build, recording, tmp_path):
    build().save(tmp_path / "model.safetensors")
    arguments = [
        str(recording("a.wav", 0.3)),
        f"checkpoint={tmp_path}/model.safetensors",
        "format=json",
    ]
    heavy = (
        "lightning",
        "pytorch_lightning",
        "librosa",
        "numba",
        "tensorboard",
        "matplotlib",
        "pandas",
        "jiwer",
    )
    code = f"from asr import transcribe; transcribe.transcribe({arguments!r})"
    said = loaded(code, "torch", "hydra", *heavy)
    assert {"torch", "hydra", '{"file":'} <= said
    assert not said & set(heavy)


def test_a_model_loads_and_transcribes_without_hydra_and_lightning(build, recording, tmp_path):
    build().save(tmp_path / "model.safetensors")
    code = f"import asr; print(asr.load({str(tmp_path / 'model.safetensors')!r})"
    code += f".transcribe({str(recording('a.wav', 0.3))!r}).score)"
    assert not loaded(code, "hydra", "omegaconf", "lightning") & {"hydra", "omegaconf", "lightning"}
