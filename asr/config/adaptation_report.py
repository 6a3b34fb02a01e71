"""The result of `asr.adapt`: what changed, how sure that is, and instructions for the model."""

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from asr.evaluation.systems import Comparison, System, pair_systems
from asr.files import atomic_write

MIN_WORDS = 200  # held out; fewer give intervals of ten points and more

README = """\
# {name}

A speech recognizer, adapted to the recordings in `{source}`: the model `{init}`, trained for
{epochs} more epochs on {hours:.2f} hours of them.

| Held-out recordings | WER | 95 % interval |
| --- | --- | --- |
| before: `{init}` | {before} |
| after: this model | {after} |

{difference}.

{verdict}

Training has not used the held-out recordings. No checkpoint was chosen by their score. Only the
confidence of words and their boundaries were fitted to them.

## Use it

    python -m asr.transcribe talk.wav checkpoint={model}

## See what changed

    python -m asr.compare {folder}/before {folder}/after

It writes a page of the utterances that differ. `after/utterances.jsonl` lists all held-out
utterances, worst first. Wrong transcripts are often among them.

## Adapt again

Repeat the adaptation with other settings in another folder. `config.yaml` has those of this one.
An interrupted adaptation continues with `resume=true`.

    python -m asr.adapt {source} init={init} dir={folder}-2

Adapt this model to more recordings:

    python -m asr.adapt more/ init={model}
"""


def report(cfg: DictConfig) -> None:
    """Compare the evaluations before and after, print the result, and write README.md.

    `summary.json` gets the result under "adaptation".
    """
    folder = Path(cfg.dir)
    comparison = compare(folder)
    difference = comparison.verdict("after - before")
    verdict = judge(comparison, cfg.init)
    path = folder / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    summary["adaptation"] = {**_numbers(comparison), "init": cfg.init, "verdict": verdict}
    path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    _write_readme(cfg, comparison, summary, difference)
    model = folder / "model.safetensors"
    print(difference)
    print(verdict)
    print(f"model and instructions in {folder}")
    print(f"python -m asr.transcribe talk.wav checkpoint={model}")


def compare(folder: Path) -> Comparison:
    """Return the comparison of the evaluations in a run's folder, before and after."""
    return pair_systems(System.read(folder / "before"), System.read(folder / "after"))


def judge(comparison: Comparison, init: str) -> str:
    """Return whether the adapted model is better, and a warning if too little is held out."""
    low, high = comparison.interval if len(comparison.pairs) > 1 else (-1.0, 1.0)
    words = sum(comparison.words)
    if low > 0:
        verdict = (
            f"The adapted model is worse, so use {init}. Look for wrong transcripts in "
            "after/utterances.jsonl, or lower optimizer.lr and trainer.max_epochs."
        )
    elif high < 0:
        verdict = f"The adapted model is better than {init}."
    else:
        verdict = f"There is no reliable difference between {init} and the adapted model."
    too_few = words < MIN_WORDS
    if too_few:
        verdict += f" Warning: {words} held-out words are too few to judge."
    if too_few or low <= 0 <= high:
        verdict += " Record more, or hold out more with data.recipe.validation=0.3."
    return verdict


def _numbers(comparison: Comparison) -> dict[str, Any]:
    """Return the rates, the difference, and its test as JSON."""
    (before, before_interval), (after, after_interval) = comparison.rates
    return {
        "before": {"wer": before, "wer_interval": before_interval},
        "after": {"wer": after, "wer_interval": after_interval},
        "difference": comparison.difference,
        "difference_interval": comparison.interval,
        "p_value": comparison.p_value,
        "words": sum(comparison.words),
        "utterances": len(comparison.pairs),
    }


def _write_readme(
    cfg: DictConfig, comparison: Comparison, summary: dict[str, Any], difference: str
) -> None:
    before, after = (
        f"{rate:.1%} | {low:.1%} to {high:.1%}" for rate, (low, high) in comparison.rates
    )
    recipe = cfg.data.recipe or {}
    folder = Path(cfg.dir)
    text = README.format(
        name=cfg.name,
        source=recipe.get("audio") or recipe.get("table") or cfg.data.manifests,
        init=cfg.init,
        epochs=summary["epochs"],
        hours=summary["hours"]["train"],
        before=before,
        after=after,
        difference=difference,
        verdict=summary["adaptation"]["verdict"],
        model=folder / "model.safetensors",
        folder=folder,
    )
    with atomic_write(folder / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
