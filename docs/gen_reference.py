"""Write the reference pages from conf/, recipes/ and asr/ while MkDocs builds the site.

MkDocs loads this file as a hook (see mkdocs.yml). `on_files` adds the generated pages, so that they
always match the code. `on_page_content` turns TeX formulas into MathML, which browsers draw without
scripts. `on_page_markdown` embeds the page of `make webdemo`. `on_post_page` makes sure that pages
load nothing from other hosts.
"""

import ast
import html
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from griffe import Docstring
from latex2mathml.converter import convert

from asr.config.option_files import Setting, read_groups, read_option

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
PACKAGES = (
    "audio",
    "nn",
    "data",
    "decode",
    "inference",
    "server",
    "evaluation",
    "training",
    "config",
)
EXTERNAL = re.compile(
    r'<(script|link|img|iframe|source)\b[^>]*?(src|href)="?(https?:)?//[^>]*>'
)
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)

COMMANDS_INTRODUCTION = """\
# Commands

Every command takes settings as `key=value`. `--help` explains them. For commands with groups,
`--cfg job` prints the complete configuration. `-v` adds the traceback to an error. The exit code is
0 for success, 2 for bad input or settings, and 130 after Ctrl-C. [Settings](settings.md) lists the
options of each group.
"""
SETTINGS_INTRODUCTION = """\
# Settings

Choose an option of a group with `group=option`, and change one of its keys with `group.key=value`.
`null` switches a part off. Defaults and descriptions come from the files in `conf/`.
"""


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages to the files of the site."""
    from mkdocs.structure.files import File

    for path, text in generate_pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the place of the demo by the page that `make webdemo` writes, if there is one."""
    has_demo = (ROOT / "docs/demo/index.html").exists()
    frame = '<iframe class="demo" src="../demo/index.html" title="Speech to text"></iframe>'
    return markdown.replace("<!-- demo -->", frame if has_demo else "")


def on_page_content(content: str, **_: Any) -> str:
    """Replace each TeX formula in a page by MathML."""
    return FORMULA.sub(_to_mathml, content)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Return a finished page unchanged.

    Raises:
        PluginError: If the page loads a script, style, font or image from another host.
    """
    from mkdocs.exceptions import PluginError

    external = EXTERNAL.search(output)
    if external:
        raise PluginError(
            f"{page.file.src_path} loads a file from another host: {external[0]}"
        )
    return output


def _to_mathml(match: re.Match[str]) -> str:
    display = "block" if match[1] == "div" else "inline"
    return convert(html.unescape(match[2]).strip(), display=display)


def generate_pages() -> dict[str, str]:
    """Return the text of every generated page by its path in the site."""
    return {
        "reference/commands.md": commands_page(),
        "reference/settings.md": settings_page(),
        "reference/experiments.md": experiments_page(),
        "reference/recipes.md": recipes_page(),
        "reference/api/asr.md": api_page("asr"),
        **{f"reference/api/{name}.md": api_page(f"asr.{name}") for name in PACKAGES},
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "reference/english.md": (ROOT / "asr/models/MODEL_CARD.md").read_text(
            encoding="utf-8"
        ),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
    }


def commands_page() -> str:
    """Return the page of every command in asr/ with its own settings."""
    parts = [COMMANDS_INTRODUCTION]
    for path in sorted(CONF.glob("*.yaml"), key=_command_order):
        option = read_option(path)
        parts += [f"## asr.{path.stem}\n", _docstring(ROOT / "asr" / f"{path.stem}.py")]
        groups = [
            f"| `{group}` | {f'`{default}`' if default else 'none'} | {_options(group)} |"
            for group, default in read_groups(path)
        ]
        if groups:
            parts += [_rows("Group | Default | Options", groups), ""]
        parts += [_table(option.settings), ""]
    return "\n".join(parts)


def _command_order(path: Path) -> int:
    order = (
        "train",
        "adapt",
        "evaluate",
        "transcribe",
        "align",
        "tune",
        "preview",
        "compare",
    )
    return order.index(path.stem) if path.stem in order else len(order)


def _options(group: str) -> str:
    page = "experiments.md" if group == "experiment" else "settings.md"
    names = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    return ", ".join(f"[{name}]({page}#{_anchor(group, name)})" for name in names)


def _anchor(group: str, name: str) -> str:
    return f"{group}-{name}"


def settings_page() -> str:
    """Return the page of every option of every group, except the experiments."""
    parts = [SETTINGS_INTRODUCTION]
    for folder in sorted(path for path in CONF.iterdir() if path.is_dir()):
        if folder.name == "experiment":
            continue
        parts.append(f"## {folder.name}\n")
        for path in sorted(folder.glob("*.yaml")):
            option = read_option(path)
            anchor = _anchor(folder.name, path.stem)
            parts.append(f"### {folder.name}={path.stem} {{ #{anchor} }}\n")
            if option.description:
                parts.append(f"{_escape(option.description)}\n")
            target = re.search(r"^_target_: (\S+)", option.text, re.MULTILINE)
            if target:
                parts.append(f"Builds {_link(target[1])}.\n")
            if option.bases:
                bases = ", ".join(_base_link(folder.name, base) for base in option.bases)
                parts.append(f"Starts from {bases}.\n")
            prefix = (
                "" if "@package _global_" in path.read_text("utf-8") else f"{folder.name}."
            )
            parts += [_table(option.settings, prefix), ""]
    return "\n".join(parts)


def _base_link(group: str, base: str) -> str:
    name = base.split()[-1]
    return f"[{name}](#{_anchor(group, name)})" if " " not in base else f"`{base}`"


def _link(target: str) -> str:
    """Return a link to the reference of a class of this project, or its name for other classes."""
    return f"[`{target}`][{target}]" if target.startswith("asr.") else f"`{target}`"


def experiments_page() -> str:
    """Return the page of every experiment: its description and its file."""
    parts = [
        "# Experiments\n",
        "An experiment is a complete training recipe: `python -m asr.train experiment=NAME`. "
        "Later settings on the command line override it.\n",
    ]
    for path in sorted((CONF / "experiment").glob("*.yaml")):
        option = read_option(path)
        parts.append(f"## {path.stem} {{ #{_anchor('experiment', path.stem)} }}\n")
        parts.append(f"{_escape(option.description)}\n")
        parts.append(f'```yaml title="conf/experiment/{path.name}"\n{option.text}\n```\n')
    return "\n".join(parts)


def recipes_page() -> str:
    """Return the page of every recipe with its arguments."""
    parts = [
        "# Recipes\n",
        "A recipe prepares a corpus or a language model. Run it with `python -m recipes.NAME "
        "[key=value ...]`; `--help` prints what this page shows.\n",
    ]
    for path in sorted((ROOT / "recipes").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        function = find_recipe(tree)
        if function is None:
            continue
        parts.append(
            f"## recipes.{path.stem}\n\n{_first_paragraph(ast.get_docstring(tree))}\n"
        )
        parts += _describe_recipe(function, _constants(tree))
    return "\n".join(parts)


def _describe_recipe(function: ast.FunctionDef, constants: dict[str, str]) -> Iterator[str]:
    """Yield the description of a recipe and the table of its arguments."""
    meanings: dict[str, str] = {}
    for section in Docstring(ast.get_docstring(function) or "").parse(
        "google", warnings=False
    ):
        if section.kind.value == "text":
            yield f"{_escape(section.value)}\n"
        elif section.kind.value == "parameters":
            meanings = {argument.name: argument.description for argument in section.value}
    arguments = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    yield _rows(
        "Key | Default | Meaning",
        (
            f"| `{argument.arg}` | `{_show(default, constants)}` "
            f"| {_escape(' '.join(meanings.get(argument.arg, '').split()))} |"
            for argument, default in arguments
        ),
    )
    yield ""


def _constants(tree: ast.Module) -> dict[str, str]:
    """Return the values of the text constants of a module."""
    return {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }


def find_recipe(tree: ast.Module) -> ast.FunctionDef | None:
    """Return the function that a recipe's file runs as a command."""
    calls = [
        node.args[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "run_recipe"
        and isinstance(node.args[0], ast.Name)
    ]
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    return functions[calls[0]] if calls else None


def _show(default: ast.expr | None, constants: dict[str, str]) -> str:
    """Return a default in the syntax of the command line."""
    if default is None:
        return "required"
    if isinstance(default, ast.Call):  # Path("data")
        default = default.args[0]
    if isinstance(default, ast.Name):
        return constants.get(default.id, default.id)
    value = ast.literal_eval(default)
    if isinstance(value, tuple):
        return f"[{','.join(map(str, value))}]"
    return {None: "null", True: "true", False: "false", "": "null"}.get(value, str(value))


def api_page(package: str) -> str:
    """Return the reference page of a package: its public modules with their public names."""
    folder = ROOT / package.replace(".", "/")
    introduction = ast.get_docstring(_parse(folder / "__init__.py")) or ""
    names = sorted(
        path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")
    )
    modules = [f"{package}.{name}" for name in names]
    if package == "asr":
        introduction = "The package, modules that all packages share, and the commands."
        # The page of the commands has the usage of their modules, so only the functions are here.
        modules = ["asr", *(_function_of_command(module) for module in modules)]
    return "\n".join(
        [f"# {package}\n", f"{introduction}\n", *(f"::: {m}\n" for m in modules)]
    )


def _function_of_command(module: str) -> str:
    """Return the function of a command, or the module if it is not a command."""
    name = module.removeprefix("asr.")
    return f"{module}.{name}" if (CONF / f"{name}.yaml").is_file() else module


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _docstring(path: Path) -> str:
    """Return the docstring of a file; indented lines become a code block."""
    lines = (ast.get_docstring(_parse(path)) or "").splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith("  ")), len(lines))
    block = "\n".join(line.removeprefix("  ") for line in lines[first:]).strip()
    text = _escape("\n".join(lines[:first])).strip()
    return f"{text}\n\n```text\n{block}\n```\n" if block else f"{text}\n"


def _first_paragraph(text: str | None) -> str:
    return (text or "").partition("\n\n")[0]


def _table(settings: tuple[Setting, ...], prefix: str = "") -> str:
    if not settings:
        return ""
    rows = []
    for setting in settings:
        value = setting.default and f"`{setting.default}`"
        default = _link(setting.target) if setting.target else value
        rows.append(f"| `{prefix}{setting.key}` | {default} | {_escape(setting.comment)} |")
    return _rows("Key | Default | Meaning", rows)


def _rows(header: str, rows: Iterable[str]) -> str:
    """Return a Markdown table with three columns."""
    return "\n".join([f"| {header} |", "| --- | --- | --- |", *rows])


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
