"""Classes that model files may name. A file never contains an import path.

Decorate your own class with `register`, and import its module before you load a model that uses it.
"""

from collections.abc import Mapping
from pydoc import locate
from typing import Any, TypeVar

from torch import nn

from asr.nn.encoder import Encoder
from asr.nn.features import LogMel

Class = TypeVar("Class", bound=type[nn.Module])

CLASSES: dict[str, type[nn.Module]] = {"Encoder": Encoder, "LogMel": LogMel}


def register(cls: Class) -> Class:
    """Register an nn.Module under the name of its class. Use it as a decorator.

    Raises:
        ValueError: If a class of another module has the same name.
    """
    other = CLASSES.get(cls.__name__, cls)
    if other.__module__ != cls.__module__:
        raise ValueError(
            f"{other.__module__} already registers {cls.__name__}. Rename your class."
        )
    CLASSES[cls.__name__] = cls
    return cls


def resolve_class(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that name a registered class by "class" instead of `_target_`.

    `_target_` is an import path, as in a Hydra configuration. Its class is imported and registered.

    Raises:
        ValueError: If `_target_` is not a subclass of nn.Module.
    """
    settings = dict(settings)
    if "class" not in settings:
        target = str(settings.pop("_target_", ""))
        cls = locate(target)
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
            raise ValueError(f"_target_ must be a torch.nn.Module, got {target!r}")
        settings = {"class": register(cls).__name__, **settings}
    return settings


def build_module(settings: Mapping[str, Any]) -> Any:
    """Build the registered class that settings name by "class". All other settings are arguments.

    Raises:
        ValueError: If the class is not registered or rejects its arguments.
    """
    arguments = dict(settings)
    name = arguments.pop("class")
    if name not in CLASSES:
        raise ValueError(f"class {name!r} is not registered. Import its module first.")
    return CLASSES[name](**arguments)
