"""The result of `asr.adapt`: what changed, how sure that is, and instructions for the model."""

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from asr.config.quoting import shell_command
from asr.evaluation.systems import Comparison, System, pair_systems
from asr.files import atomic_write

MIN_WORDS = 200  # held out; fewer give intervals of ten points and more
MAX_P_VALUE = 0.05  # above it, a difference may be chance

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

    {transcribe}

## See what changed

    {compare}

It writes a page of the utterances that differ. `after/utterances.jsonl` lists all held-out
utterances, worst first. Wrong transcripts are often among them.

## Adapt again

Repeat the adaptation with other settings in another folder. `config.yaml` has those of this one.
An interrupted adaptation continues with `resume=true`.

    {again}

Adapt this model to more recordings:

    {more}
"""


def report(cfg: DictConfig) -> None:
    """Compare the evaluations before and after, print the result, and write README.md.

    `summary.json` gets the result under "adaptation".
    """
    folder = Path(cfg.dir)
    systems = System.read(folder / "before"), System.read(folder / "after")
    comparison = pair_systems(*systems)
    difference = comparison.verdict("after - before")
    verdict = judge(comparison, cfg.init)
    path = folder / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    summary["adaptation"] = {**_numbers(comparison), "init": cfg.init, "verdict": verdict}
    path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    _write_readme(cfg, comparison, summary, difference)
    print(difference)
    print(verdict)
    print(f"model and instructions in {folder}")
    print(_commands(cfg)["transcribe"])


def judge(comparison: Comparison, init: str) -> str:
    """Return whether the adapted model is better, and a warning if too little is held out."""
    words = sum(comparison.words)
    is_reliable = comparison.p_value < MAX_P_VALUE
    if is_reliable and comparison.difference > 0:
        verdict = (
            f"The adapted model is worse, so use {init}. Look for wrong transcripts in "
            "after/utterances.jsonl, or lower optimizer.lr and trainer.max_epochs."
        )
    elif is_reliable:
        verdict = f"The adapted model is better than {init}."
    else:
        verdict = f"There is no reliable difference between {init} and the adapted model."
    too_few = words < MIN_WORDS
    if too_few:
        verdict += f" Warning: {words} held-out words are too few to judge."
    if too_few or not is_reliable:
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


def _commands(cfg: DictConfig) -> dict[str, str]:
    """Return the commands in the instructions."""
    folder, model = Path(cfg.dir), Path(cfg.dir, "model.safetensors")
    other = f"{cfg.dir}-2"
    return {
        "transcribe": shell_command("asr.transcribe", "talk.wav", checkpoint=model),
        "compare": shell_command("asr.compare", folder / "before", folder / "after"),
        "again": shell_command("asr.adapt", _source(cfg), init=cfg.init, dir=other),
        "more": shell_command("asr.adapt", "more/", init=model),
    }


def _source(cfg: DictConfig) -> str:
    recipe = cfg.data.recipe or {}
    return str(recipe.get("audio") or recipe.get("table") or cfg.data.manifests)


def _write_readme(
    cfg: DictConfig, comparison: Comparison, summary: dict[str, Any], difference: str
) -> None:
    before, after = (
        f"{rate:.1%} | {low:.1%} to {high:.1%}" for rate, (low, high) in comparison.rates
    )
    text = README.format(
        name=cfg.name,
        source=_source(cfg),
        init=cfg.init,
        epochs=summary["epochs"],
        hours=summary["hours"]["train"],
        before=before,
        after=after,
        difference=difference,
        verdict=summary["adaptation"]["verdict"],
        **_commands(cfg),
    )
    with atomic_write(Path(cfg.dir, "README.md")) as temporary:
        temporary.write_text(text, encoding="utf-8")
