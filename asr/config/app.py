"""Command lines: a Hydra configuration for entry points, keyword arguments for recipes."""

import inspect
import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import yaml  # type: ignore[import-untyped]

from asr.config.environment import set_threads
from asr.config.help import describe_command
from asr.config.option_files import CONF, read_groups
from asr.config.reporting import print_user_error, report_user_errors
from asr.config.values import convert, did_you_mean
from asr.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig


VERBOSE = frozenset({"-v", "--verbose"})
HYDRA_OPTIONS = (
    "-c --cfg -m --multirun --resolve -p --package -r --run -i --info -cd --config-dir "
    "--hydra-help --experimental-rerun --shell-completion -sc"
)


def run(
    config_name: str,
    function: Callable[["DictConfig"], Any],
    arguments: str = "[group=option ...] [key=value ...]",
) -> None:
    """Call a function with the configuration that Hydra composes from the command line.

    --help prints the docstring of the function's module and the settings. Its usage line has
    `arguments`.

    Raises:
        SystemExit: Always, with the exit code of `report_user_errors`.
    """
    verbose = not VERBOSE.isdisjoint(sys.argv)
    sys.argv[:] = [argument for argument in sys.argv if argument not in VERBOSE]

    def call() -> None:
        if asks_for_help():
            description = inspect.getmodule(function).__doc__ or ""
            text = describe_command(config_name, description, sys.argv[1:], arguments)
            print(text, flush=True)
        else:
            _run(config_name, function, verbose)

    sys.exit(report_user_errors(f"asr.{config_name}", call, verbose))


def asks_for_help() -> bool:
    """Return whether the command line has -h or --help."""
    return not {"-h", "--help"}.isdisjoint(sys.argv[1:])


def compose(config_name: str, overrides: Sequence[str]) -> "DictConfig":
    """Compose and check a configuration without Hydra's command line.

    Raises:
        ConfigError: If an override or a setting is wrong.
    """
    import hydra
    from hydra.core.global_hydra import GlobalHydra

    from asr.config.hints import explain_hydra_errors
    from asr.config.schema import SCHEMAS, check_settings

    overrides = _find_option_files(overrides)
    with explain_hydra_errors(lambda: _compose_options(config_name, overrides)):
        GlobalHydra.instance().clear()
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = hydra.compose(config_name, list(overrides))
    check_settings(cfg, SCHEMAS[config_name])
    return cfg


def _run(config_name: str, function: Callable[["DictConfig"], Any], verbose: bool) -> None:
    import hydra
    from hydra.core.hydra_config import HydraConfig

    from asr.config.hints import explain_hydra_errors
    from asr.config.inherit import inherit_architecture
    from asr.config.schema import SCHEMAS, check_settings
    from asr.config.sweep import explain_lost_runs, is_sweep, record_failure, set_up_run

    configs: list[tuple[DictConfig, list[str]]] = []
    sys.argv[1:] = arguments = _find_option_files(sys.argv[1:])
    _check_options(config_name, arguments)

    def call(cfg: "DictConfig", overrides: Sequence[str]) -> Any:
        check_settings(cfg, SCHEMAS[config_name])
        if "cpu" in cfg:
            set_threads(cfg)
        if "init" in cfg:
            inherit_architecture(cfg, overrides)
        return function(cfg)

    def job(cfg: "DictConfig") -> Any:
        overrides = [*HydraConfig.get().overrides.task]
        if is_sweep():
            set_up_run(cfg, frozenset(arguments))
            try:
                return call(cfg, overrides)
            except Exception as error:  # the other runs continue
                name = f"asr.{config_name}: {cfg.dir}"
                record_failure(cfg, name, print_user_error(name, error, verbose))
                return None
        return configs.append(
            (cfg, overrides)
        )  # called below: here, Hydra would print the errors

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises errors instead of printing them
    explained = explain_hydra_errors(lambda: _compose_options(config_name, arguments))
    with explained, explain_lost_runs():
        hydra.main(str(CONF), config_name, version_base="1.3")(job)()
    for cfg, overrides in configs:
        call(cfg, overrides)


def _find_option_files(overrides: Sequence[str]) -> list[str]:
    """Replace GROUP=FOLDER/GROUP/NAME.yaml by GROUP=NAME and add FOLDER to Hydra's search path."""
    replaced, search_path = [], []
    for override in overrides:
        group, _, value = override.partition("=")
        path = Path(value)
        if path.suffix == ".yaml" and (CONF / group).is_dir():
            if not path.is_file():
                raise ConfigError(f"{group}: {path}: no such file")
            if path.parent.resolve().name != group:
                raise ConfigError(f"{group}: {path} must be in a folder named {group}")
            search_path.append(f"'file://{path.resolve().parents[1].as_posix()}'")
            override = f"{group}={path.stem}"
        replaced.append(override)
    if search_path:
        replaced.append(f"hydra.searchpath=[{','.join(search_path)}]")
    return replaced


def _compose_options(
    config_name: str, overrides: Sequence[str]
) -> tuple["DictConfig", "DictConfig"]:
    """Return the configurations of the options that overrides choose, and of the default ones."""
    chosen = []
    groups = dict(read_groups(CONF / f"{config_name}.yaml"))
    for override in overrides:
        group, _, option = override.partition("=")
        is_option = group in groups and (CONF / group / f"{option}.yaml").is_file()
        if is_option or group == "hydra.searchpath":
            chosen.append(override)
    return compose(config_name, chosen), compose(config_name, [])


def _check_options(config_name: str, arguments: Sequence[str]) -> None:
    """Check the arguments that start with a dash.

    Raises:
        ConfigError: If Hydra has no such option, or if it is -m and the command has no sweeps.
    """
    options = {argument.partition("=")[0] for argument in arguments if argument[:1] == "-"}
    for option in sorted(options - {*HYDRA_OPTIONS.split()}):
        raise ConfigError(f"{option}: no such option; see --help")
    sweeps = "hparams" in dict(read_groups(CONF / f"{config_name}.yaml"))
    if options & {"-m", "--multirun"} and not sweeps:
        raise ConfigError(
            "-m is an option of asr.train; run this command once for each value"
        )


def command_parser(command: str, arguments: str, description: str) -> ArgumentParser:
    """Return a parser of -h and -v, whose `parse_known_args` also returns the other arguments.

    Args:
        command: Name of the module, such as "recipes.an4".
        arguments: Other arguments in the usage line.
        description: Text of --help.
    """
    parser = ArgumentParser(
        usage=f"python -m {command} {arguments} [-v]",
        description=description,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    help_text = "show the traceback of errors"
    parser.add_argument("-v", "--verbose", action="store_true", help=help_text)
    return parser


def run_recipe(
    recipe: Callable[..., object], arguments: Sequence[str] | None = None
) -> int:
    """Call a recipe with the key=value arguments of the command line and return the exit code.

    Args:
        recipe: Function with keyword arguments; its docstring is the text of --help.
        arguments: Arguments to use instead of `sys.argv`.
    """
    command = f"recipes.{recipe.__name__}"
    parser = command_parser(command, "[key=value ...]", inspect.getdoc(recipe) or "")
    parameters = inspect.signature(recipe).parameters
    width = max(map(len, parameters))
    rows = [f"  {key:<{width}}  {_format(p.default)}" for key, p in parameters.items()]
    parser.epilog = "\n".join(["keys and their defaults:", *rows])
    options, settings = parser.parse_known_args(arguments)

    def call() -> None:
        try:
            recipe(**_parse_settings(recipe, settings))
        except KeyboardInterrupt as error:
            error.args = ("interrupted; run the command again to resume",)
            raise

    return report_user_errors(command, call, options.verbose)


def _parse_settings(
    recipe: Callable[..., object], settings: Sequence[str]
) -> dict[str, Any]:
    """Return key=value settings as keyword arguments of a recipe."""
    hints = get_type_hints(recipe)
    parameters = inspect.signature(recipe).parameters
    keys = list(parameters)
    arguments = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if key not in keys:
            hint = did_you_mean(key, keys) or f"; the settings are {', '.join(keys)}"
            raise ConfigError(f"no setting {key!r}{hint}")
        if not equals:
            raise ConfigError(f"{key} has no value; pass {key}=...")
        arguments[key] = convert(key, _parse_value(key, text, hints[key]), hints[key])
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in arguments:
            raise ConfigError(f"pass {key}=...; --help describes it")
    return arguments


def _parse_value(key: str, text: str, hint: Any) -> Any:
    """Return the YAML value of key=text; only annotated numbers and booleans are not text."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        if {bool, int, float} & {hint, *get_args(hint)}:
            config = OmegaConf.from_dotlist([f"value={text}"])
        else:
            config = OmegaConf.create({"value": yaml.load(text, Loader=yaml.BaseLoader)})
        (value,) = OmegaConf.to_container(config, resolve=True).values()  # type: ignore[union-attr]
    except (OmegaConfBaseException, yaml.YAMLError):
        raise ConfigError(f"{key}={text}: syntax error; quote the value") from None
    if get_origin(hint) is Sequence:
        items = value if isinstance(value, list) else [value]
        return [item for item in items if item not in (None, "", "null")]
    return None if value == "null" else value


def _format(default: object) -> str:
    """Return a default as it would be written on the command line."""
    if isinstance(default, list | tuple):
        return f"[{','.join(map(str, default))}]"
    if default is inspect.Parameter.empty:
        return "required"
    if default is None:
        return "-"
    return str(default).lower() if isinstance(default, bool) else str(default)
