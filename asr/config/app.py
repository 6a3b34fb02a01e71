"""What all entry points share: where the configuration lies, and how errors are told."""

import errno
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from asr.config.environment import set_library_defaults
from asr.errors import AsrError, ConfigError, PeerError

_PACKAGE = Path(__file__).resolve().parents[1]
CONF = (
    _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
)  # installed, or in a clone

_FREE, _WRITABLE = (
    "free some room, or give another dir=...",
    "give another dir=... that can be written to",
)
_DISK = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
    errno.EFBIG: _FREE,
    errno.EACCES: _WRITABLE,
    errno.EROFS: _WRITABLE,
    errno.ENOTDIR: _WRITABLE,
}

BAD_INPUT, INTERRUPTED = 2, 130  # exit codes
MANIFESTS = ("data.train", "data.validation", "data.test")  # each may be several
WHOLE = {
    "data": "base",
    "augment": "none",
}  # groups that build no object, each with an option that names all it has
QUOTED = "[]'\" "  # what may stand around the words of a value


def run(config_name: str, function: Callable[[DictConfig], Any]) -> None:
    """Call a function with the configuration that Hydra composes from the command line; errors as in `guarded`."""
    report_user_errors(lambda: _run(config_name, function), f"asr.{config_name}")


def _run(config_name: str, function: Callable[[DictConfig], Any]) -> None:
    import hydra

    errors: list[BaseException] = []
    sys.argv[1:] = _with_files(sys.argv[1:])
    asked = frozenset(sys.argv[1:])

    def job(cfg: DictConfig) -> Any:
        sweeping = _sweeping()
        if sweeping:
            _settle(cfg, asked)
        try:
            _check(cfg, config_name)
            return function(cfg)
        except BaseException as error:  # kept from Hydra, which would print a notice of its own
            if sweeping:  # but its sweeper must know which runs failed
                raise
            errors.append(error)
            return None

    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints tracebacks and exits by itself
    with _explaining(config_name):
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(job)()
    if errors:
        raise errors[0]


def _sweeping() -> bool:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def _settle(cfg: DictConfig, asked: Collection[str]) -> None:
    """Give one run of a sweep its own folder in `dir`, and processes that it starts its own command line.

    What it has beside what was asked of all runs is printed.
    """
    from hydra.core.hydra_config import HydraConfig

    job = HydraConfig.get()
    cfg.dir = f"{cfg.dir}/{job.job.num}"
    own = [*job.overrides.hydra, *job.overrides.task]
    sys.argv[1:] = [
        *(o for o in own if not o.startswith("dir=")),
        f"dir={cfg.dir}",
        "hydra.mode=RUN",
    ]
    print(
        f"run {job.job.num}: {' '.join(o for o in job.overrides.task if o not in asked)}",
        flush=True,
    )


def run_recipe(recipe: Callable[..., object], arguments: Sequence[str] | None = None) -> int:
    """Run a recipe with the settings of the command line and return the exit code."""
    from asr.config.recipe import command

    return command(recipe, arguments)


def compose(config_name: str, overrides: list[str]) -> DictConfig:
    """The configuration without Hydra's own command line. Raises ConfigError for one that cannot be composed."""
    import hydra

    with _explaining(config_name), hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose(config_name, _with_files(overrides))
    _check(cfg, config_name)
    return cfg


def _with_files(overrides: list[str]) -> list[str]:
    """Overrides in which GROUP=FOLDER/GROUP/NAME.yaml, a file of one's own, has become an option that Hydra finds."""
    found, places = [], []
    for override in overrides:
        group, _, value = override.partition("=")
        path = Path(value)
        if path.suffix == ".yaml" and (CONF / group).is_dir():
            if not path.is_file():
                raise ConfigError(f"{group}: {path}: no such file")
            if path.parent.resolve().name != group:
                raise ConfigError(
                    f"{group}: {path}: an option of one's own must lie in a folder that is named {group}"
                )
            places.append(f"'file://{path.resolve().parents[1]}'")
            override = f"{group}={path.stem}"
        found.append(override)
    return [*found, f"hydra.searchpath=[{','.join(places)}]"] if places else found


def _check(cfg: DictConfig, config_name: str) -> None:
    """Raise ConfigError for keys that were appended with + but that nothing reads, and for values of another kind.

    Those of groups that build an object are its arguments, and the object refuses others by itself.
    """
    file = _yaml(f"{config_name}.yaml")
    groups = {
        key: None for entry in file.pop("defaults") if isinstance(entry, dict) for key in entry
    }
    checked = [("", cfg, groups | file)]
    checked += [
        (f"{group}.", cfg[group], _yaml(f"{group}/{whole}.yaml"))
        for group, whole in WHOLE.items()
        if group in cfg
    ]
    for prefix, given, known in checked:
        for key, value in _plain(given).items():
            if key not in known:
                raise ConfigError(
                    f"{prefix}{key}: nothing reads this setting{_did_you_mean(key, known)}"
                )
            _check_kind(f"{prefix}{key}", value, known[key])


def _check_kind(name: str, value: Any, default: Any) -> None:
    """Raise ConfigError for no text where the default is one, for neither true nor false where it is one of them."""
    if isinstance(default, bool) and not isinstance(value, bool):
        raise ConfigError(f"{name} is {value!r}; it must be true or false")
    if isinstance(default, str):
        (as_texts if name in MANIFESTS else as_text)(name, value)


def as_text(name: str, value: Any) -> str:
    """Return a setting that is text. Raises ConfigError for a number, a list or a mapping."""
    if isinstance(value, str | Path):
        return str(value)
    hint = (
        f"; quote it twice if it is text: \"{name}='...'\""
        if isinstance(value, int | float)
        else ""
    )
    raise ConfigError(f"{name} must be text, got {value!r}{hint}")


def as_texts(name: str, value: Any) -> list[str]:
    """Return a setting that is a text or a list of texts."""
    several = OmegaConf.is_list(value) or isinstance(value, list | tuple)
    return [as_text(name, one) for one in value] if several else [as_text(name, value)]


def _yaml(name: str) -> dict[str, Any]:
    return _plain(OmegaConf.load(CONF / name))


def _plain(settings: Any) -> dict[str, Any]:
    return {
        str(key): value for key, value in OmegaConf.to_container(settings, resolve=False).items()
    }  # type: ignore[union-attr]


@contextmanager
def _explaining(config_name: str) -> Iterator[None]:
    """What Hydra refuses is raised as a ConfigError of one line; other errors, as of a sweep's run, as they are."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explained(error, config_name)) from error
    except ValueError as error:
        if not str(error).startswith("Config group override must be"):
            raise
        hint = "a group, as model or experiment, is one of its options, not null; --help shows them"
        raise ConfigError(hint) from error


def _explained(error: BaseException, config_name: str) -> str:
    """Hydra's message in one line, with the nearest setting where one was misspelt, with quotes where they lack."""
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    text = _one_line(error).split(" Config search path:")[0]
    misspelt = re.match(r"Could not override '([^']+)'", text)
    if misspelt is None:
        return text
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    cfg = compose(config_name, [])
    keys = _dotted(OmegaConf.to_container(cfg, resolve=False))
    key = misspelt[1]
    group, _, name = key.rpartition(".")
    if key in keys:
        return f"{key}: {group} as chosen here has no such setting, or is null; --cfg job shows what it has"
    if _takes(OmegaConf.select(cfg, f"{group}._target_"), name):
        return f"no setting {key!r} as yet; +{key}=... adds it"
    return f"no setting {key!r}{_did_you_mean(key, keys)}; --cfg job shows them all"


def _takes(target: str | None, name: str) -> bool:
    """Whether the class that a group builds has an argument of that name."""
    from hydra.utils import get_object

    return target is not None and name in inspect.signature(get_object(target)).parameters


def _unreadable(override: str) -> str:
    """Why Hydra's grammar does not know an override, and what it would know: names with accents are the usual case."""
    key, given, value = override.partition("=")
    if not given:
        return f"{override}: no setting; one is given as KEY=VALUE"
    words = [f"'{word.strip(QUOTED)}'" for word in value.split(",")]
    quoted = f"[{','.join(words)}]" if value.startswith("[") else f"'{value.strip(QUOTED)}'"
    return f'{override}: cannot be read; letters beyond a-z and signs take quotes in quotes: "{key}={quoted}"'


def _dotted(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return []
    names = [f"{prefix}{key}" for key in node]
    return names + [name for key in node for name in _dotted(node[key], f"{prefix}{key}.")]


def _did_you_mean(key: str, keys: Collection[str]) -> str:
    """The nearest setting of the same group; where none is near, or there is no such group, up to two of others."""
    group, _, name = key.rpartition(".")
    places: dict[str, list[str]] = {}
    for known in keys:
        places.setdefault(known.rpartition(".")[2], []).append(known)
    here = [known.rpartition(".")[2] for known in keys if known.rpartition(".")[0] == group]
    close = [key.removesuffix(name) + match for match in get_close_matches(name, here, n=1)]
    close = (
        close
        or [known for match in get_close_matches(name, places, n=2) for known in places[match]][:2]
    )
    return f"; did you mean {' or '.join(close)}?" if close else ""


def report_user_errors(function: Callable[[], Any], name: str) -> None:
    """Call a function; a user's error becomes one line and exit code 2, Ctrl-C one line and 130.

    With `-v` on the command line the traceback comes first.
    """
    set_library_defaults()
    verbose = "-v" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "-v"]
    try:
        function()
    except KeyboardInterrupt as interrupt:
        _leave(f"{name}: {interrupt or 'interrupted'}", INTERRUPTED, verbose)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        cause = user_error(error)
        if cause is None:
            raise
        _leave(
            f"{name}: {_one_line(cause)}", BAD_INPUT, verbose, at_once=isinstance(cause, PeerError)
        )


def user_error(error: BaseException | None) -> BaseException | None:
    """The error, or the one that it was raised from, that a user can mend; None for faults of the program."""
    shown: BaseException | None = None
    while error is not None:
        if isinstance(error, AsrError):
            return error
        if isinstance(error, OSError) and error.errno in _DISK:
            return ConfigError(
                f"{error.filename or 'output'}: {error.strerror}; {_DISK[error.errno]}"
            )
        if isinstance(error, MissingMandatoryValue):
            return ConfigError(f"{error.full_key}: give it a value, as {error.full_key}=...")
        if isinstance(error, HydraException | OmegaConfBaseException):
            shown = shown or error
        error = error.__cause__ or error.__context__
    return shown


def _one_line(error: BaseException) -> str:
    said = str(error).rpartition(
        f"{type(error).__module__}.{type(error).__qualname__}: "
    )  # behind a worker's traceback
    text = " ".join(line.strip() for line in said[2].splitlines() if line.strip())
    return text or type(error).__name__


def _leave(message: str, code: int, verbose: bool, *, at_once: bool = False) -> None:
    if verbose:
        traceback.print_exc()
    print(message, file=sys.stderr)
    if at_once:  # threads of gloo that still hold something of Python's would abort its orderly end
        sys.stdout.flush()
        os._exit(code)
    raise SystemExit(code)
