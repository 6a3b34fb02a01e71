"""Beam search over CTC emissions, with a language model, a lexicon, both, or neither."""

import os
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Literal

from asr.decode.beam_search import BeamSearch, SearchOptions
from asr.decode.hotwords import Hotwords, read_hotwords
from asr.decode.hypothesis import Hypothesis
from asr.decode.lm import inspect_lm
from asr.decode.parallel import Parallel
from asr.decode.timing import WordTimer
from asr.decode.word_lists import read_lexicon
from asr.nn.emissions import Calibration, Emissions
from asr.text import Tokenizer
from asr.validation import (
    Count,
    Positive,
    check_arguments,
    check_integer,
    check_number,
    check_numbers,
)

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
        beam_threshold: Drop hypotheses that score this many nats below the best.
        beam_size_token: Most likely tokens of a frame that extend a hypothesis.
        skip_blank: Skip frames with P(blank) > `skip_blank`, except one between repeated tokens.
            1 disables skipping.
        hotwords: Phrases to boost, as in GreedyDecoder.
        calibration: a, b, and offset of a Calibration of the confidence, from asr.tune.
        workers: Processes that decode a batch. None means one per core.
    """

    @check_arguments
    def __init__(
        self,
        *,
        beam_size: Count = 50,
        lm: str | Path | None = None,
        lm_unit: Literal["auto", "words", "characters"] = "auto",
        lm_weight: float = 0.5,
        word_score: float | None = None,
        lexicon: str | Path | None = None,
        nbest: Count = 1,
        beam_threshold: Positive = 12.0,
        beam_size_token: Count = 8,
        skip_blank: float = 0.99,
        hotwords: Hotwords | None = None,
        calibration: Sequence[float] = (1.0, 1.0, 0.0),
        workers: int | None = None,
    ) -> None:
        """Check the settings and read the lexicon and the hotwords.

        Raises:
            ConfigError: If a file cannot be read.
            ValueError: If a number is out of range, or if settings do not fit together.
        """
        self.hotwords = read_hotwords(hotwords) if hotwords else {}
        self.lexicon = read_lexicon(Path(lexicon), self.hotwords) if lexicon else None
        self.lm = inspect_lm(lm, lm_unit, has_lexicon=self.lexicon is not None)
        if word_score is None:
            word_score = WORD_SCORE if self.lm and self.lm.unit == "words" else 0.0
        wanted = "three numbers, from asr.tune"
        weights = check_numbers("calibration", calibration, size=3, wanted=wanted)
        self.options = SearchOptions(
            beam_size=beam_size,
            beam_size_token=beam_size_token,
            beam_threshold=beam_threshold,
            lm_weight=check_number("lm_weight", lm_weight),
            word_score=check_number("word_score", word_score),
            nbest=nbest,
            skip_blank=check_number("skip_blank", skip_blank, gt=0, le=1),
            calibration=Calibration(*weights),
        )
        if workers is not None:
            check_integer("workers", workers, ge=1)
        self.workers = workers or os.cpu_count() or 1
        self._tokenizer: Tokenizer | None = None
        self._parallel: Parallel

    def __call__(self, emissions: Emissions, tokenizer: Tokenizer) -> list[Hypothesis]:
        """Return the best hypothesis of each utterance.

        Raises:
            ConfigError: If the tokens do not fit the language model, the lexicon, or the hotwords.
            DecodingError: If a worker was killed.
        """
        if self._tokenizer != tokenizer:
            search = BeamSearch(tokenizer, self.lm, self.lexicon, self.hotwords)
            self._parallel = Parallel(search, self.workers)
            self._tokenizer = tokenizer
        context = self.options, WordTimer.of(emissions), emissions.calibration
        return self._parallel(emissions.rows(), *context)

    def reweighted(self, lm_weight: float, word_score: float) -> "BeamDecoder":
        """Return a decoder with other weights that shares the language model and the workers.

        Its confidence is raw, because a calibration belongs to the weights that it was fitted with.
        """
        other = copy(self)
        other.options = replace(
            self.options,
            lm_weight=lm_weight,
            word_score=word_score,
            calibration=Calibration(),
        )
        return other
