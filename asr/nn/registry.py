"""Classes that model files may name. A file never contains an import path.

Decorate your own class with `register`, and import its module before you load a model that uses it.
"""

from collections.abc import Mapping
from pydoc import locate
from typing import Any, TypeVar

from torch import nn

from asr.nn.encoder import Encoder
from asr.nn.features import LogMel

Settings = Mapping[str, Any]  # arguments of a class, and its name
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


def build_module(settings: Settings, **arguments: Any) -> tuple[Any, Settings]:
    """Build a module, and return it with the settings that a model file stores.

    Args:
        settings: Arguments, and the class: a registered name in "class", or in `_target_` an import
            path, as in a Hydra configuration. The class of `_target_` is registered.
        arguments: More arguments, which are not stored.

    Raises:
        ValueError: If the class is not registered, not an nn.Module, or rejects its arguments.
    """
    stored = dict(settings)
    if "class" in stored:
        name = stored.pop("class")
    else:
        target = str(stored.pop("_target_", ""))
        cls = locate(target)
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
            raise ValueError(f"_target_ must be a torch.nn.Module, got {target!r}")
        name = register(cls).__name__
    if name not in CLASSES:
        raise ValueError(f"class {name!r} is not registered. Import its module first.")
    return CLASSES[name](**stored, **arguments), {"class": name, **stored}
