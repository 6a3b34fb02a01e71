"""Beam search over CTC emissions, with a language model, a lexicon, both, or neither."""

import os
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Literal

from asr.decode.beam_search import BeamSearch, SearchOptions
from asr.decode.hotwords import read_hotwords
from asr.decode.hypothesis import Hypothesis
from asr.decode.lm import inspect_lm
from asr.decode.parallel import Parallel
from asr.decode.timing import WordTimer
from asr.decode.word_lists import read_lines, unique_phrases
from asr.errors import ConfigError
from asr.nn.emissions import Calibration, Emissions
from asr.text import Tokenizer
from asr.validation import check_integer, check_number, check_numbers

# nats; the default with a language model of words, which makes longer texts less likely
WORD_SCORE = 2.0


class BeamDecoder:
    """Beam search on the CPU, with flashlight. `asr.decode.beam_search` describes the scores.

    Args:
        beam_size: Hypotheses to keep from frame to frame.
        lm: Path of a language model, an ARPA or KenLM binary file.
        lm_unit: Unit of the language model. "auto" reads it from an ARPA file.
        lm_weight: Factor of the log-probability of the language model.
        word_score: Nats to add for each word. None means 2 with a language model of words, else 0.
        lexicon: Path of a file with one word per line. Only these words and the words of `hotwords`
            are recognized.
        nbest: Hypotheses to return; the best one carries the others as `alternatives`.
        beam_threshold: Nats behind the best hypothesis at which another one is dropped.
        beam_size_token: Most likely tokens of a frame that extend a hypothesis.
        skip_blank: Skip frames with P(blank) > `skip_blank`, except one between repeated tokens.
            1 disables skipping.
        hotwords: Phrases to boost, as in GreedyDecoder.
        calibration: a, b, and offset of a Calibration of the confidence, from asr.tune.
        workers: Processes that decode a batch. None means one per core.
    """

    def __init__(
        self,
        *,
        beam_size: int = 50,
        lm: str | Path | None = None,
        lm_unit: Literal["auto", "words", "characters"] = "auto",
        lm_weight: float = 0.5,
        word_score: float | None = None,
        lexicon: str | Path | None = None,
        nbest: int = 1,
        beam_threshold: float = 12.0,
        beam_size_token: int = 8,
        skip_blank: float = 0.99,
        hotwords: Sequence[str] | str | Path | None = None,
        calibration: Sequence[float] = (1.0, 1.0, 0.0),
        workers: int | None = None,
    ) -> None:
        """Check the settings and read the lexicon and the hotwords.

        Raises:
            ConfigError: If a file cannot be read.
            ValueError: If a number is out of range, or if settings do not fit together.
        """
        self.hotwords = read_hotwords(hotwords) if hotwords else {}
        self.lexicon = _read_lexicon(lexicon, self.hotwords)
        self.lm = inspect_lm(lm, lm_unit, has_lexicon=lexicon is not None)
        if word_score is None:
            word_score = WORD_SCORE if self.lm and self.lm.unit == "words" else 0.0
        wanted = "three numbers, from asr.tune"
        self.options = SearchOptions(
            beam_size=check_integer("beam_size", beam_size, ge=1),
            beam_size_token=check_integer("beam_size_token", beam_size_token, ge=1),
            beam_threshold=check_number("beam_threshold", beam_threshold, gt=0),
            lm_weight=check_number("lm_weight", lm_weight),
            word_score=check_number("word_score", word_score),
            nbest=check_integer("nbest", nbest, ge=1),
            skip_blank=check_number("skip_blank", skip_blank, gt=0, le=1),
            calibration=Calibration(
                *check_numbers("calibration", calibration, size=3, wanted=wanted)
            ),
        )
        workers = os.cpu_count() or 1 if workers is None else workers
        self.workers = check_integer("workers", workers, ge=1)
        self._parallel: Parallel[BeamSearch, Hypothesis] | None = None

    def __call__(self, emissions: Emissions, tokenizer: Tokenizer) -> list[Hypothesis]:
        """Return the best hypothesis of each utterance.

        Raises:
            ConfigError: If the tokens do not fit the language model, the lexicon, or the hotwords.
            DecodingError: If a worker was killed.
        """
        if self._parallel is None or self._parallel.function.tokenizer != tokenizer:
            search = BeamSearch(
                self.options, tokenizer, self.lm, self.lexicon, self.hotwords
            )
            self._parallel = Parallel(search, self.workers)
        log_probs = emissions.log_probs.detach().float().cpu().numpy()
        timer = WordTimer.of(emissions)
        return self._parallel(
            log_probs, emissions.lengths.tolist(), timer, emissions.calibration
        )

    def reweighted(self, *, lm_weight: float, word_score: float) -> "BeamDecoder":
        """Return a decoder with other weights that shares the language model and the lexicon."""
        other = copy(self)
        other.options = replace(self.options, lm_weight=lm_weight, word_score=word_score)
        if self._parallel is not None:
            search = self._parallel.function.reweighted(other.options)
            other._parallel = Parallel(search, self.workers)
        return other


def _read_lexicon(file: str | Path | None, hotwords: Iterable[str]) -> list[str] | None:
    """Return the distinct words of a file, if there is one, and of the hotwords.

    Raises:
        ConfigError: If the file cannot be read, is empty, or has several words in a line.
    """
    if file is None:
        return None
    words = unique_phrases(read_lines(Path(file), "lexicon"))
    if not words:
        raise ConfigError(f"lexicon: {file}: no words")
    for word in words:
        if " " in word:
            raise ConfigError(
                f"lexicon: {file}: {word!r} is more than one word. Use a line for each"
            )
    return list(dict.fromkeys([*words, *" ".join(hotwords).split()]))
