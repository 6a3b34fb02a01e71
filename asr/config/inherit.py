"""A training that starts from a model (`init`) has its architecture."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

PARTS = {"features": "features", "model": "encoder"}  # names of the groups in model files
_OVERRIDE = re.compile(r"\+{0,2}(features|model)(\.[^=]+)?=")


def inherit_architecture(cfg: "DictConfig", overrides: Sequence[str]) -> None:
    """Replace `features` and `model` by the settings of the model that `init` names, if it is set.

    Settings of the command line stay, so that model.dropout=0.3 has an effect. With a group such as
    model=base, all settings of the group stay. If they need other weights, the training will
    refuse them.

    Args:
        cfg: Settings of `asr.train`, which are changed.
        overrides: Overrides of the command line.

    Raises:
        ModelError: If `init` is not a model.
    """
    if cfg.init is None:
        return
    from omegaconf import OmegaConf, open_dict  # slow imports

    from asr.nn.checkpoint import read_checkpoint

    header, _ = read_checkpoint(Path(cfg.init))
    keys = [match.groups() for match in map(_OVERRIDE.match, overrides) if match]
    for group, part in PARTS.items():
        if (group, None) in keys:
            continue
        own = cfg[group]
        with open_dict(cfg):
            cfg[group] = header[part]
        for name, key in keys:
            if name == group:
                value = OmegaConf.select(own, key[1:])
                OmegaConf.update(cfg, group + key, value, force_add=True)
