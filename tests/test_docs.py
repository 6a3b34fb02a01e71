"""Commands, settings and links in README.md and docs/ are right, and the reference is complete."""

import ast
import functools
import importlib
import importlib.util
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc import locate
from types import ModuleType

import pytest
import yaml
from entry import caller

from asr.config import app
from asr.config.inputs import split_arguments
from asr.data.manifest import read_manifest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NAMES = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md"),
    "asr/models/MODEL_CARD.md",
)
PAGES = sorted([*(ROOT / name for name in NAMES), *DOCS.rglob("*.md")])
WITH_FILES = (
    "transcribe",
    "align",
    "export",
    "adapt",
)  # commands that take files and key=value settings

# Programs in shell blocks that are not part of this project.
PROGRAMS = {"python3", "pip", ".", "tensorboard", "pre-commit", "wandb", "docker"}
PROGRAMS |= {"curl", "ffmpeg"}

# Settings that make a run small. They follow the settings of the documented command.
TRAIN = [
    *("trainer.accelerator=cpu", "trainer.max_epochs=1", "trainer.precision=32-true"),
    *("model.hidden_size=16", "model.channels=4", "data.workers=0", "callbacks.plots=null"),
]
SMALL = {
    "asr.train": TRAIN,
    "asr.evaluate": ["data.workers=0"],
    "asr.tune": ["data.workers=0", "points=2", "rounds=0", "decoder.workers=1"],
    "asr.preview": ["count=1", "views=1"],
    "asr.adapt": [
        *("init=outputs/synthetic/model.safetensors", "trainer.max_epochs=1"),
        *("trainer.accelerator=cpu", "trainer.precision=32-true", "data.workers=0"),
    ],
}
# Commands that need a network or several devices, or that do not end by themselves.
NOT_RUN = ("trainer=gpu", "trainer=ddp", "recipes.an4", "recipes.librispeech", "asr.serve")


def load_generator() -> ModuleType:
    """Import docs/gen_reference.py."""
    spec = importlib.util.spec_from_file_location(
        "gen_reference", DOCS / "gen_reference.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference() -> dict[str, str]:
    return load_generator().generate_pages()


@dataclass(frozen=True)
class Command:
    """A line of a shell block as words."""

    page: Path
    words: tuple[str, ...]

    @property
    def module(self) -> str | None:
        """The module that `python -m` or `torchrun -m` runs."""
        found = [b for a, b in zip(self.words, self.words[1:], strict=False) if a == "-m"]
        return found[0] if found else None

    @property
    def arguments(self) -> list[str]:
        return list(self.words[self.words.index("-m") + 2 :])

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {' '.join(self.words)}"


def read_commands(page: Path) -> Iterator[Command]:
    """Yield the commands of a page: the lines of its shell blocks, and `python ...` in the text."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`(python (?:-m|benchmarks/|examples/)[^`]*)`", strip_blocks(text))
    for line in lines:
        words = shlex.split(line, comments=True)
        while "&&" in words:
            yield Command(page, tuple(words[: words.index("&&")]))
            words = words[words.index("&&") + 1 :]
        if words:
            yield Command(page, tuple(words))


def strip_blocks(text: str) -> str:
    """Remove code blocks from Markdown."""
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)


def read_scripts() -> Iterator[Command]:
    """Yield the commands of this project in Makefile and .ci/run."""
    for name in ("Makefile", ".ci/run"):
        text = (ROOT / name).read_text(encoding="utf-8").replace("$(DEMO)", "outputs/demo")
        for line in re.findall(r"/(python -m (?:asr|recipes)\.[^\n]*)", text):
            yield Command(ROOT / name, tuple(shlex.split(line)))


COMMANDS = [command for page in PAGES for command in read_commands(page)]
COMMANDS += read_scripts()
OURS = [c for c in COMMANDS if c.module and c.module.split(".")[0] in ("asr", "recipes")]
OTHERS = [command for command in COMMANDS if command not in OURS]


@pytest.mark.parametrize("command", dict.fromkeys(OURS), ids=str)
def test_every_command_in_the_documentation_composes(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package, name = str(command.module).split(".")
    if name == "NAME":  # a placeholder in a sentence
        return
    assert importlib.util.find_spec(str(command.module))
    if package == "recipes":
        check_recipe(str(command.module), command.arguments)
    else:
        check_entry_point(name, command.arguments)


def check_recipe(module: str, arguments: list[str]) -> None:
    """Parse the arguments of a recipe without running it."""
    recipe = find_recipe(module)
    parsed = {}
    parser = functools.wraps(recipe)(
        lambda **settings: parsed.update(settings, called=True)
    )
    settings = [a for a in arguments if "=" in a and not a.startswith("[")]
    assert app.run_recipe(parser, settings) == 0
    assert parsed


def find_recipe(module: str) -> Callable[..., object]:
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    function = load_generator().find_recipe(tree)
    assert function is not None, f"{module} is not a recipe"
    return getattr(importlib.import_module(module), function.name)


def check_entry_point(name: str, arguments: list[str]) -> None:
    """Compose the configuration of a command without running it."""
    if name in WITH_FILES:
        _, overrides = split_arguments([a for a in arguments if not a.startswith("text=")])
    else:
        overrides = [argument for argument in arguments if "=" in argument]
    if any(override.startswith("hparams=") for override in overrides):
        overrides = [first_value(override) for override in overrides]
    for override in overrides:
        group, _, value = override.partition("=")
        if value.endswith(".yaml") and group == "decoder":  # written by asr.tune
            Path(value).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(app.CONF / "decoder" / "beam.yaml", value)
    placeholders = ("...", "NAME", "FILE")
    assert app.compose(name, [o for o in overrides if not o.endswith(placeholders)])


def first_value(override: str) -> str:
    """Replace the list of values of a sweep by the first of them."""
    key, _, value = override.partition("=")
    return override if value.startswith("[") else f"{key}={value.split(',')[0]}"


@pytest.mark.parametrize("command", dict.fromkeys(OTHERS), ids=str)
def test_every_other_command_uses_files_and_targets_that_exist(command: Command) -> None:
    program, *arguments = command.words
    if program == "make":
        targets = re.findall(
            r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M
        )
        assert set(arguments) <= set(targets)
        return
    if program in ("python", "bash", ".venv/bin/python"):
        files = [
            a
            for a in arguments
            if a.startswith(("benchmarks/", "examples/", "tests/", ".ci", "@tests/"))
        ]
        assert files
        assert all((ROOT / file.lstrip("@")).exists() for file in files), files
        return
    assert program in PROGRAMS
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in re.findall(r"\.\[(\w+)\]", " ".join(arguments)):
        assert extra in extras["optional-dependencies"]


def known_settings() -> dict[str, set[str]]:
    """Return the settings of every command and recipe by name, with their groups' options."""
    generator = load_generator()
    settings: dict[str, set[str]] = {}
    for path in app.CONF.rglob("*.yaml"):
        is_option = path.parent != app.CONF and "@package _global_" not in path.read_text(
            "utf-8"
        )
        prefix = f"{path.parent.name}." if is_option else ""
        if path.parent != app.CONF:
            settings.setdefault(path.parent.name, set()).add(path.stem)
        for setting in generator.read_option(path).settings:
            settings.setdefault(f"{prefix}{setting.key}", set())
    for path in (ROOT / "recipes").glob("*.py"):
        function = generator.find_recipe(ast.parse(path.read_text(encoding="utf-8")))
        for argument in function.args.kwonlyargs if function else ():
            settings.setdefault(argument.arg, set())
    return settings


def read_settings(page: Path) -> set[str]:
    """Return what looks like settings in the inline code of a page."""
    words = {
        word
        for code in re.findall(
            r"`([^`\n]+)`", strip_blocks(page.read_text(encoding="utf-8"))
        )
        for word in code.split()
    }
    groups = "|".join(path.name for path in app.CONF.iterdir() if path.is_dir())
    setting = re.compile(rf"({groups})\.(?!safetensors)[\w.*]+(=.*)?")
    dotted = {word for word in words if setting.fullmatch(word)}
    return dotted | {word for word in words if re.fullmatch(r"[a-z_]+=\S+", word)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_setting_in_the_documentation_exists(page: Path) -> None:
    if page.name == "CHANGELOG.md":  # names the settings of earlier versions
        pytest.skip("names earlier settings too")
    settings = known_settings()
    foreign = {
        "center",
        "key",
        "group",
        "hydra",
    }  # not settings of this project, or placeholders
    for word in read_settings(page):
        key, _, value = word.partition("=")
        if key.removesuffix(".*") in foreign or key.split(".")[0] in foreign:
            continue
        assert key in settings or key.removesuffix(".*") in settings, f"no setting {word}"
        if settings.get(key) and not value.endswith((".yaml", "NAME")):
            assert value.rstrip(",;") in settings[key], f"{key} has no option {value}"


def test_every_setting_with_a_value_in_the_documentation_composes() -> None:
    groups = {path.name for path in app.CONF.iterdir() if path.is_dir()}
    values = {
        word
        for page in PAGES
        if page.name != "CHANGELOG.md"
        for word in read_settings(page)
    }
    for word in sorted(values):
        key, _, value = word.partition("=")
        group = key.split(".")[0]
        if group in groups - {"hparams"} and re.fullmatch(r"[\w.,\[\]/-]+", value):
            entry = "evaluate" if group == "decoder" else "train"
            option = option_with(key) if "." in key and group != "data" else None
            if not value.endswith((".yaml", "NAME", "FILE")):
                app.compose(entry, [*([f"{group}={option}"] if option else []), word])


def option_with(key: str) -> str | None:
    """Return an option of a group that has a key."""
    group, _, name = key.partition(".")
    for path in sorted((app.CONF / group).glob("*.yaml")):
        node = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        for part in name.split("."):
            node = node.get(part, {}) if isinstance(node, dict) else {}
        if node != {}:
            return path.stem
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(
    page: Path, reference: dict[str, str]
) -> None:
    text = strip_blocks(page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text)):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        generated = None
        if linked.is_relative_to(DOCS):
            generated = reference.get(linked.relative_to(DOCS).as_posix())
        assert generated or linked.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(generated or linked.read_text(encoding="utf-8")), (
                target
            )


def anchors(text: str) -> set[str]:
    """Return the anchors of a page: those given in braces, and those made from headings."""
    headings = re.findall(r"^#+ (.*)$", strip_blocks(text), re.MULTILINE)
    slugs = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in headings
    }
    return slugs | set(re.findall(r"\{ #([\w-]+) \}", text))


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page(
    reference: dict[str, str],
) -> None:
    loader = yaml.SafeLoader
    nav = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), loader)["nav"]
    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert set(leaves(nav)) == written | reference.keys()


def leaves(node: object) -> Iterator[str]:
    """Yield the paths in a navigation."""
    if isinstance(node, str):
        yield node
    else:
        for child in node.values() if isinstance(node, dict) else node:
            yield from leaves(child)


def test_files_of_the_repository_named_in_code_and_settings_exist() -> None:
    files = [*app.CONF.rglob("*.yaml"), *(ROOT / "asr").rglob("*.py"), *PAGES]
    names = re.compile(
        r"\b(?:docs|conf|examples|benchmarks|tests|asr|recipes)/[\w./-]+\.\w+"
    )
    for file in files:
        for name in names.findall(file.read_text(encoding="utf-8")):
            is_placeholder = "mine" in name or name.startswith("asr/conf/")
            assert is_placeholder or (ROOT / name).exists(), (
                f"{file.relative_to(ROOT)}: {name}"
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_python_name_in_the_documentation_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:asr|recipes)(?:\.\w+)+)`", strip_blocks(text)):
        assert "NAME" in name or locate(name) is not None, name
    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        imports = [
            n for n in ast.parse(block).body if isinstance(n, ast.Import | ast.ImportFrom)
        ]
        exec(compile(ast.Module(imports, []), str(page), "exec"), {})


def test_the_reference_describes_every_option_and_key(reference: dict[str, str]) -> None:
    text = reference["reference/settings.md"] + reference["reference/experiments.md"]
    commands = reference["reference/commands.md"]
    generator = load_generator()
    for path in app.CONF.rglob("*.yaml"):
        if path.parent == app.CONF:
            assert f"## asr.{path.stem}\n" in commands
        else:
            assert f"#{path.parent.name}-{path.stem} " in text
        for setting in generator.read_option(path).settings:
            assert setting.key in (commands if path.parent == app.CONF else text)


def test_the_reference_contains_every_module_and_recipe(reference: dict[str, str]) -> None:
    api = "\n".join(text for path, text in reference.items() if "/api/" in path)
    for path in (ROOT / "asr").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if path.stem != "__init__" and not path.stem.startswith("_"):
            command = f"::: {module}.{path.stem}\n"
            assert f"::: {module}\n" in api or command in api
    for path in (ROOT / "recipes").glob("*.py"):
        if "run_recipe(" in path.read_text(encoding="utf-8"):
            assert f"## recipes.{path.stem}\n" in reference["reference/recipes.md"]


def test_a_setting_is_read_with_its_default_and_comments(tmp_path: Path) -> None:
    (tmp_path / "option.yaml").write_text(
        "# An option\n# of two lines\n_target_: asr.Thing\nname: ???\n"
        "# above\nlr: 1e-3   # a rate\n           # below\n"
        "part:\n  list: [1, 2]  # numbers\nother: null\n",
        encoding="utf-8",
    )
    option = load_generator().read_option(tmp_path / "option.yaml")
    assert option.description == "An option of two lines"
    rows = [(setting.key, setting.default, setting.comment) for setting in option.settings]
    assert rows == [
        ("name", "???", ""),
        ("lr", "1e-3", "above a rate below"),
        ("part", "", ""),
        ("part.list", "[1,2]", "numbers"),
        ("other", "null", ""),
    ]


def test_formulas_become_mathml_and_pages_load_nothing_from_other_hosts() -> None:
    from mkdocs.exceptions import PluginError

    generator = load_generator()
    page = type("Page", (), {"file": type("File", (), {"src_path": "a.md"})})
    html = generator.on_page_content('<span class="arithmatex">\\(x &lt; 1\\)</span>')
    assert html.startswith("<math") and "arithmatex" not in html
    local = '<script src="assets/a.js"></script><a href="https://example.org">link</a>'
    assert generator.on_post_page(local, page) == local
    for tag in (
        '<script src="https://x.org/a.js">',
        '<link rel="font" href="//x.org/a.woff">',
    ):
        with pytest.raises(PluginError, match="another host"):
            generator.on_post_page(tag, page)


@pytest.fixture
def workplace(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the documented commands read, from the small built-in corpus."""
    shutil.copytree(corpus, tmp_path / "data")
    manifests = tmp_path / "data" / "manifests"
    shutil.copytree(manifests / "synthetic", manifests / "an4")
    utterances = read_manifest(manifests / "synthetic" / "train.jsonl")
    for i, utterance in enumerate(utterances):
        target = tmp_path / "recordings" / f"speaker{i % 6}" / f"{i}.flac"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(utterance.audio, target)
        target.with_suffix(".txt").write_text(utterance.text, encoding="utf-8")
    (tmp_path / "more").mkdir()
    shutil.copy(utterances[0].audio, tmp_path / "talk.wav")
    shutil.copy(utterances[1].audio, tmp_path / "more" / "other.flac")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", ["README.md", "docs/getting-started.md"])
def test_the_commands_run_in_order(
    page: str,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = caller(monkeypatch, capsys)
    commands = [c for c in read_commands(ROOT / page) if c in OURS]
    assert len(commands) > 10
    for command in commands:
        module = str(command.module)
        if any(text in str(command) for text in NOT_RUN):
            continue
        if module.startswith("recipes."):
            assert app.run_recipe(find_recipe(module), command.arguments) == 0
            continue
        main = importlib.import_module(module).main
        small = (
            SMALL.get(module, []) if not {"--help", "--cfg"} & set(command.words) else []
        )
        finished = call(main, *command.arguments, *small)
        assert finished.code == 0, f"{command}\n{finished.err}"
