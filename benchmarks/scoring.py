"""Scores of held-out sets: several decoders on the same emissions, changed audio, and peers."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from robustness import narrow_band, with_noise
from sphinx import Sphinx

from asr import audio
from asr.config.app import compose
from asr.config.build import instantiate
from asr.data.manifest import Utterance
from asr.decode.hypothesis import Decoder, Hypothesis
from asr.evaluation.evaluator import Corpus, evaluate_corpus, load_corpus
from asr.evaluation.intervals import resamples_speakers
from asr.evaluation.report import Evaluation, Result
from asr.evaluation.wer import score_utterance
from asr.inference.model import AcousticModel
from asr.inference.transcriber import Transcriber
from asr.nn.emissions import Emissions
from recipes.prose import spell

Change = Callable[[ndarray], ndarray]  # of samples (S,)
Row = dict[str, Any]  # scores with the names of the set, the system, and so on


def add_noise(snr: float) -> Change:
    """Return a change that adds white noise at a signal-to-noise ratio in dB.

    The noise depends on the length of the clip only, not on the order of clips.
    """
    return lambda samples: with_noise(samples, snr, np.random.default_rng(len(samples)))


CONDITIONS: dict[str, Change | None] = {
    "original": None,
    "noise at 20 dB": add_noise(20.0),
    "noise at 10 dB": add_noise(10.0),
    "telephone band": narrow_band,
}


class ChangedInput:
    """A model that changes each waveform before it computes emissions."""

    def __init__(self, model: AcousticModel, change: Change) -> None:
        self.model, self.change = model, change

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the model."""
        return getattr(self.model, name)

    def compute_emissions(self, waveforms: Sequence[ndarray]) -> Emissions:
        """Return the emissions (B, U, V) of the changed waveforms (S,)."""
        return self.model.compute_emissions(list(map(self.change, waveforms)))


@dataclass(frozen=True)
class RememberedCorpus(Corpus):
    """A corpus whose emissions are computed once, for several decoders of the same model."""

    emissions: list[tuple[Sequence[Utterance], Emissions]] = field(default_factory=list)

    def compute_emissions(
        self, model: AcousticModel
    ) -> Iterator[tuple[Sequence[Utterance], Emissions]]:
        """Yield the utterances and their emissions (B, U, V), computed by the first call."""
        if not self.emissions:
            self.emissions.extend(super().compute_emissions(model))
        return iter(self.emissions)


def build_decoders(names: Iterable[str]) -> dict[str, Decoder]:
    """Return decoders by the name of their option in conf/decoder, or by the path of a file.

    Raises:
        ConfigError: If there is no such decoder.
    """
    configs = {name: compose("evaluate", [f"decoder={name}"]) for name in names}
    return {name: instantiate("decoder", cfg.decoder) for name, cfg in configs.items()}


def score_decoders(
    model: AcousticModel,
    decoders: Mapping[str, Decoder],
    utterances: Sequence[Utterance],
    change: Change | None = None,
) -> dict[str, Evaluation]:
    """Return the evaluation of each decoder. Its seconds include the network.

    Raises:
        AudioError: If no utterance can be read.
    """
    network = ChangedInput(model, change) if change else model
    corpus = RememberedCorpus(**vars(load_corpus(utterances, model.tokenizer)))
    began = time.monotonic()
    corpus.compute_emissions(network)
    seconds = time.monotonic() - began
    evaluations = {}
    for name, decoder in decoders.items():
        evaluation = evaluate_corpus(Transcriber(network, decoder), corpus)
        evaluations[name] = replace(evaluation, seconds=evaluation.seconds + seconds)
    return evaluations


def score_pocketsphinx(utterances: Sequence[Utterance], cache: Path) -> Evaluation:
    """Return the evaluation of pocketsphinx with the English models of its package.

    Its texts are scored like ours, with Mr., Mrs., Dr., and etc. as words. Seconds are CPU time.

    Args:
        utterances: Utterances to recognize.
        cache: File of JSON lines, to which each text is appended. It is not recognized again.

    Raises:
        ImportError: If pocketsphinx is not installed.
        AudioError: If an utterance cannot be read.
    """
    known = _read_lines(cache)
    sphinx = None
    for utterance in utterances:
        if utterance.name not in known:
            sphinx = sphinx or Sphinx()
            known[utterance.name] = line = recognize(sphinx, utterance)
            cache.parent.mkdir(parents=True, exist_ok=True)
            with cache.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    lines = [known[utterance.name] for utterance in utterances]
    results = [
        Result(
            u, Hypothesis(line["text"], 0.0), score_utterance(u.text, spell(line["text"]))
        )
        for u, line in zip(utterances, lines, strict=True)
    ]
    return Evaluation(results, sum(line["cpu_seconds"] for line in lines))


def recognize(sphinx: Sphinx, utterance: Utterance) -> Row:
    """Return the text that pocketsphinx recognizes in an utterance, and its CPU time."""
    samples = audio.load(
        utterance.audio,
        offset=utterance.offset,
        duration=utterance.duration,
        channel=utterance.channel,
    )
    began = time.process_time()
    text = sphinx.transcribe(samples)
    seconds = time.process_time() - began
    return {"utterance": utterance.name, "text": text, "cpu_seconds": round(seconds, 3)}


def _read_lines(cache: Path) -> dict[str, Row]:
    """Return the lines of a cache by utterance. An interrupted last line is not read."""
    if not cache.exists():
        return {}
    text = cache.read_text(encoding="utf-8")
    complete = text[: text.rfind("\n") + 1]
    if complete != text:
        cache.write_text(complete, encoding="utf-8")
    lines = map(json.loads, complete.splitlines())
    return {line["utterance"]: line for line in lines}


def scores(evaluation: Evaluation) -> Row:
    """Return the scores of an evaluation as a JSON object."""
    score, reliability = evaluation.score, evaluation.reliability
    return {
        "wer": round(score.wer, 5),
        "wer_interval": [round(bound, 5) for bound in evaluation.interval],
        "interval_unit": "speaker"
        if resamples_speakers(evaluation.speakers)
        else "utterance",
        "cer": round(score.cer, 5),
        "words": score.words.length,
        "utterances": score.utterances,
        "exact": score.exact,
        "speakers": len(set(evaluation.speakers)),
        "audio_seconds": round(evaluation.audio_seconds, 1),
        "calibration_error": round(reliability.error, 4) if reliability.bins else None,
        "rtf": round(evaluation.rtf, 5) if evaluation.seconds else None,
    }


def describe_wer(row: Row) -> str:
    """Return the word error rate with its interval."""
    low, high = row["wer_interval"]
    return f"{100 * row['wer']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def to_markdown(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"
