"""Train a recogniser: `python -m asr.train [group=option] [key=value ...]`; `--help` shows every setting."""

import json
import logging
import platform
import subprocess
import time
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from asr.audio import SAMPLE_RATE
from asr.config import app as cli
from asr.config import build
from asr.data.cache import cache_audio
from asr.data.dataset import SpeechDataset
from asr.data.filter import Selection, filter_utterances, keep_all
from asr.data.manifest import Utterance, read_manifests
from asr.errors import ConfigError, ModelError
from asr.evaluation.wer import Score
from asr.nn.ctc import CTCModel
from asr.text import Tokenizer
from asr.training.callbacks import AtomicCheckpointIO
from asr.training.data import SpeechData
from asr.training.fit import fit
from asr.training.module import SCORES, CTCModule
from asr.validation import check_integer

# Lightning's advice that does not apply: batches come whole from the workers, runs may be short, and go on in place,
# in the middle of an epoch too; a batch of which nothing could be read is passed over; DDP keeps nodes of the graph;
# not every epoch is validated
IGNORED_ADVICE = (
    "`training_step` returned `None`.*",
    "You're resuming from a checkpoint that ended before the epoch ended.*",
    ".*LeafSpec.*",
    "The AccumulateGrad node's stream does not match.*",
    ".*could not find the monitored key.*",
    ".*does not have many workers.*",
    ".*number of training batches.*",
    "Checkpoint directory .*",
)
SAMPLED = 200  # utterances that corpus statistics are taken from


def train(cfg: DictConfig) -> dict[str, Any]:
    """Train as configured and return the summary, which `summary.json` in the run's folder holds as well.

    Raises ConfigError, ManifestError or TextError for settings or data that cannot be trained on.
    """
    began = time.monotonic()
    _check_numbers(cfg)
    _quieten()
    folder = Path(cfg.dir)
    leads = rank_zero_only.rank == 0  # of several processes the one that prints and writes
    checkpoint = _prepare_folder(folder, resume=cfg.resume, leads=leads)
    seed_everything(cfg.seed, workers=True, verbose=False)
    build.ensure_corpus(cfg.data)
    torch.set_float32_matmul_precision("high")

    utterances = {part: _utterances(cfg.data, part) for part in ("train", "validation")}
    model = _model(cfg, utterances["train"])
    if checkpoint is not None:
        _check_resumable(checkpoint, model)
    data = _data(cfg, model, utterances)
    if leads:
        for part, selection in data.selections.items():
            print(f"{part}: {selection.summary()}")
            selection.write(folder / f"left_out_{part}.txt")
    if model.features.normalize == "corpus" and checkpoint is None and cfg.init is None:
        _fit_features(model, data.selections["train"], cfg.seed)

    module = CTCModule(
        model=model,
        optimizer=build.instantiate("optimizer", cfg.optimizer),
        scheduler=build.instantiate("scheduler", cfg.scheduler),
        spec_augment=build.instantiate("augment.spec", cfg.augment.spec),
        consistency=cfg.augment.consistency,
        seed=cfg.seed,
    )
    module.began = began
    trainer = _trainer(cfg)
    if leads:
        OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
        print(
            f"{_parameters(model) / 1e6:.1f} M parameters, {len(model.tokenizer)} tokens; run in {folder}",
            flush=True,
        )
    final, best = fit(trainer, module, data, checkpoint, folder)
    if not leads:
        return {}

    model.save(folder / "model.safetensors", scores={"val_wer": module.score.wer})
    if module.skipped:
        listed = folder / "skipped.txt"
        listed.write_text(
            "".join(f"{name}\t{why}\n" for name, why in module.skipped.items()), encoding="utf-8"
        )
        print(
            f"skipped {len(module.skipped)} utterances that could not be read or learnt; see {listed}"
        )
    summary = _summary(cfg, trainer, module, data, final, best)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print(
        f"WER {module.score.wer:.2%} on {module.score.utterances} validation utterances "
        f"after {trainer.current_epoch} epochs and {module.seconds / 60:.1f} minutes; "
        f"model in {folder / 'model.safetensors'}",
        flush=True,
    )
    return summary


def _check_numbers(cfg: DictConfig) -> None:
    check_integer("seed", cfg.seed, ge=0, le=2**32 - 1)
    for name in ("max_epochs", "accumulate_grad_batches"):
        if cfg.trainer.get(name) is not None:
            check_integer(f"trainer.{name}", cfg.trainer[name], ge=1)


def _quieten() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for advice in IGNORED_ADVICE:
        warnings.filterwarnings("ignore", message=advice)


def _prepare_folder(folder: Path, *, resume: bool, leads: bool) -> Path | None:
    """Make the run's folder and return the checkpoint to go on from; a run that is there already is moved aside."""
    last = folder / "checkpoints" / "last.ckpt"
    if resume:
        if not last.is_file():
            raise ConfigError(
                f"resume=true, but there is no checkpoint {last}; start without it, or give dir=..."
            )
        for unfinished in (
            last.parent.glob("*.partial") if leads else ()
        ):  # of a run that was killed while it wrote
            unfinished.unlink()
        return last
    if leads and (folder / "config.yaml").exists():
        number = 1
        while (aside := folder.with_name(f"{folder.name}-{number}")).exists():
            number += 1
        folder.rename(aside)
        print(f"an earlier run was in {folder}; it is now in {aside}")
    folder.mkdir(parents=True, exist_ok=True)
    return None


def _model(cfg: DictConfig, utterances: Sequence[Utterance]) -> CTCModel:
    """A model for what the training utterances are written in, as drawn or with the weights of `init`."""
    tokenizer = build.instantiate("tokenizer", cfg.tokenizer)
    if not isinstance(tokenizer, Tokenizer):  # one that is built from transcripts
        tokenizer = tokenizer(utterance.text for utterance in utterances)
    model = CTCModel(features=_plain(cfg.features), encoder=_plain(cfg.model), tokenizer=tokenizer)
    if cfg.init is not None:
        path = Path(cfg.init)
        trained = CTCModel.load(path)
        try:
            model.init_from(trained)
        except ModelError as error:
            raise ModelError(f"init: {path}: {error}; take its model.* settings") from None
    return model


def _check_resumable(checkpoint: Path, model: CTCModel) -> None:
    """Raises ModelError for a checkpoint that is damaged, and for one of another model than the settings are of."""
    try:
        built = torch.load(checkpoint, map_location="cpu", weights_only=False, mmap=True)[
            "architecture"
        ]
    except (RuntimeError, KeyError) as error:
        raise ModelError(
            f"{checkpoint}: damaged, or of an older version ({shorten(str(error), 100)}); start without resume=true"
        ) from None
    for part, group in (("features", "features"), ("encoder", "model")):
        there, here = built[part], model.architecture[part]
        for key in there | here:
            if there.get(key) != here.get(key):
                values = f"{there.get(key)} in {checkpoint} and {here.get(key)} here"
                raise ModelError(
                    f"resume=true: {group}.{key} is {values}; a run goes on as it began"
                )
    if built["tokens"] != model.architecture["tokens"]:
        raise ModelError(
            f"resume=true: the tokens are others in {checkpoint}; a run goes on with its tokenizer"
        )


def _utterances(data: DictConfig, part: str) -> list[Utterance]:
    found = read_manifests(data[part], limit=data.limit)
    if data.cache is None:
        return found
    if data.cache != "pcm":
        raise ConfigError(f"data.cache is {data.cache}; it can be pcm, or null")
    return cache_audio(found, Path(data.cache_folder))


def _data(cfg: DictConfig, model: CTCModel, utterances: dict[str, list[Utterance]]) -> SpeechData:
    augment = build.build_augmentation(cfg.augment)

    def frames(seconds: float) -> int:
        return int(model.output_lengths(torch.tensor(int(seconds / augment.fastest * SAMPLE_RATE))))

    chosen = filter_utterances(
        utterances["train"],
        model.tokenizer,
        frames=frames,
        min_seconds=cfg.data.min_seconds,
        max_seconds=cfg.data.max_seconds,
        on_unknown=cfg.data.on_unknown,
    )
    if not chosen.examples:
        raise ConfigError(
            f"no training utterance is left: {chosen.summary()}; see data.min_seconds, data.max_seconds"
        )
    return SpeechData(
        train=chosen,
        validation=keep_all(utterances["validation"], model.tokenizer),
        batch_seconds=cfg.data.batch_seconds,
        workers=cfg.data.workers,
        seed=cfg.seed,
        augment=augment,
        on_error=cfg.data.on_error,
    )


def _fit_features(model: CTCModel, selection: Selection, seed: int) -> None:
    """Corpus statistics from a sample of the training utterances, as they are."""
    chosen = torch.randperm(len(selection.examples), generator=torch.Generator().manual_seed(seed))[
        :SAMPLED
    ]
    batch = SpeechDataset(selection.examples)[[(int(i), 0) for i in chosen]]
    model.features.fit_cmvn(batch.waveforms, batch.lengths)


def _trainer(cfg: DictConfig) -> Trainer:
    callbacks = [
        build.instantiate(f"callbacks.{name}", one)
        for name, one in cfg.callbacks.items()
        if one is not None
    ]
    for callback in callbacks:
        score = getattr(callback, "monitor", None)
        if score not in SCORES and (score is not None or isinstance(callback, EarlyStopping)):
            raise ConfigError(
                f"callbacks: {score!r} is no score of validation; it can be {', '.join(SCORES)}"
            )
    for name, logger in cfg.logger.items():
        if isinstance(logger, DictConfig) and logger.get("name") is not None:
            logger.name
    loggers = [
        build.instantiate(f"logger.{name}", one)
        for name, one in cfg.logger.items()
        if one is not None
    ]
    trainer: Trainer = build.instantiate(
        "trainer", cfg.trainer, callbacks=callbacks, logger=loggers, plugins=[AtomicCheckpointIO()]
    )
    if not trainer.limit_val_batches:
        raise ConfigError(
            "trainer.limit_val_batches is 0; a run is judged by its validation, give it 1 at least"
        )
    if trainer.overfit_batches:
        raise ConfigError(
            "trainer.overfit_batches is not for batches of like length; take experiment=overfit"
        )
    if trainer.precision != "32-true" and not trainer.precision.endswith("-mixed"):
        raise ConfigError(
            f"trainer.precision is {trainer.precision}; it can be 32-true, bf16-mixed or 16-mixed"
        )
    return trainer


def _summary(
    cfg: DictConfig,
    trainer: Trainer,
    module: CTCModule,
    data: SpeechData,
    final: Score,
    best: Sequence[str],
) -> dict[str, Any]:
    return {
        "val_wer": module.score.wer,
        "final_val_wer": final.wer,
        "final_val_cer": final.cer,
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "best_checkpoints": best,
        "seconds": round(module.seconds, 3),
        "hours": {part: round(selection.hours, 4) for part, selection in data.selections.items()},
        "left_out": {part: len(selection.left_out) for part, selection in data.selections.items()},
        "skipped": len(module.skipped),
        "parameters": _parameters(module.model),
        "seed": cfg.seed,
        "commit": _commit(),
        "versions": _versions(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, {trainer.strategy.root_device}",
        "config": OmegaConf.to_container(cfg, resolve=True),
    }


def _parameters(model: CTCModel) -> int:
    return sum(p.numel() for p in model.parameters())


def _plain(cfg: DictConfig) -> dict[str, Any]:
    return dict(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]


def _commit() -> str | None:
    """The commit of the clone that this file is in, with a + where it was changed; None for an installed wheel."""

    def git(*arguments: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(
            ["git", "-C", here, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (
            "+" if git("status", "--porcelain", "-uno") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def _versions() -> dict[str, str]:
    names = ("asr", "torch", "torchaudio", "lightning", "soundfile", "jiwer")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def main() -> None:
    """Entry point. To a sweep a run is worth its word error rate on validation."""
    cli.run("train", lambda cfg: train(cfg).get("val_wer"))


if __name__ == "__main__":
    main()
