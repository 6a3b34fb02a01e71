"""Build the experiment trackers of the group `logger`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from asr.config.build import instantiate
from asr.errors import ConfigError
from asr.training.tracking import raised_by_tracker, start_tracker

# Setting with the id of a tracked run by logger
IDS = {"wandb": "id", "mlflow": "run_id"}


def check_trackers(cfg: DictConfig) -> None:
    """Check that the packages of the trackers are installed.

    Raises:
        ConfigError: If one is missing.
    """
    for name in IDS:
        if cfg.logger.get(name) is not None and find_spec(name) is None:
            raise ConfigError(
                f"logger.{name} requires a package. Run pip install 'asr[{name}]'"
            )


def build_trackers(cfg: DictConfig) -> list[Any]:
    """Build and start the trackers, which write to the folder of the run or to a server.

    A resumed run continues its tracked runs. `cfg` gets their ids, so that config.yaml keeps them.

    Raises:
        ConfigError: If a tracker rejects its settings or cannot connect.
    """
    trackers = []
    for name, key in IDS.items():
        if cfg.logger.get(name) is None:
            continue
        path = f"logger.{name}.{key}"
        run_id = OmegaConf.select(cfg, path)
        saved = Path(cfg.dir, "config.yaml")
        if run_id is None and cfg.resume and saved.is_file():
            run_id = OmegaConf.select(OmegaConf.load(saved), path)
            OmegaConf.update(cfg, path, run_id, force_add=True)
        try:
            tracker = instantiate(f"logger.{name}", cfg.logger[name])
            config: Any = OmegaConf.to_container(cfg, resolve=True)
            started = start_tracker(tracker, config, is_resumed=run_id is not None)
        except Exception as error:
            if not raised_by_tracker(error):
                raise
            raise ConfigError(f"logger.{name}: {error}") from error
        OmegaConf.update(cfg, path, started, force_add=True)
        trackers.append(tracker)
    return trackers
