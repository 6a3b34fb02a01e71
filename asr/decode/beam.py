"""Beam search over CTC's emissions, with a language model, a lexicon, both or none: flashlight's decoders, in C++.

A hypothesis scores  log P(text | audio) + lm_weight * log P(text) + word_score * words,  in nats, the first summed over
the alignments that the beam holds (Graves and Jaitly 2014; Collobert et al. 2016 for the search).

    lexicon  language model   search
    no       no, characters   any text; the model of characters takes part
    no       words            any text; what the beam holds at the end is ordered anew by the model of words
    yes      no, either       texts of the lexicon's words; either model takes part
"""

import math
import os
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from asr.decode import lm as models
from asr.decode.ctc_path import frames_to_decode, read_phrases, spell_paths, word_log_probs
from asr.decode.hotwords import HotwordBooster, read_hotwords
from asr.decode.hypothesis import Hypothesis, Word
from asr.decode.parallel import Parallel
from asr.decode.timing import WordTimer
from asr.errors import ConfigError
from asr.nn.emissions import Calibration, Emissions
from asr.text import BAR, BLANK, Tokenizer
from asr.validation import check_integer, check_number, check_numbers

IMPOSSIBLE = -1e4  # nats
WORD_BONUS = 2.0  # nats, beside a language model of words: each word makes a text less likely to it, long or short
COMPARED = 20  # hypotheses that a word's confidence is taken from


class BeamDecoder:
    """`beam_size` hypotheses are kept from frame to frame, each going on with the likeliest `beam_size_token`.

    Those more than `beam_threshold` nats behind the best are dropped at once. `lm` is the path of a language model
    (`lm_unit` tells what it is of, where the file cannot), `lexicon` that of a file with a word on each line. Where
    `word_score` is None, it is 2 beside a language model of words and 0 without. Frames whose blank is likelier than
    `skip_blank` are left out, but one between equal tokens; 1 leaves out none. With `nbest` above 1 a hypothesis has
    the next best ones as its alternatives. `hotwords` are phrases to favour, as Greedy takes them; a lexicon gets their
    words. `calibration` is a, b and offset of a Calibration of words' confidence. Batches are decoded by `workers`
    processes (None: one for each core).
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
        """Raises ConfigError for a number out of range, and for a file (lm, lexicon, hotwords) that cannot be read."""
        if lm_unit not in ("auto", "words", "characters"):
            raise ConfigError(
                f"decoder.lm_unit is {lm_unit!r}; it must be auto, words or characters"
            )
        self.beam_size = check_integer("beam_size", beam_size, ge=1)
        self.nbest = check_integer("nbest", nbest, ge=1)
        self.beam_size_token = check_integer("beam_size_token", beam_size_token, ge=1)
        self.beam_threshold = check_number("beam_threshold", beam_threshold, gt=0)
        self.skip_blank = check_number("skip_blank", skip_blank, gt=0, le=1)
        self.lm = Path(lm) if lm is not None else None
        self.lm_weight = check_number("lm_weight", lm_weight) if lm is not None else 0.0
        self.lexicon = _lexicon(Path(lexicon)) if lexicon is not None else None
        self.hotwords = read_hotwords(hotwords) if hotwords else {}
        if self.lexicon is not None:
            self.lexicon = list(dict.fromkeys([*self.lexicon, *" ".join(self.hotwords).split()]))
        wanted = "three numbers, from asr.tune"
        self.calibration = Calibration(
            *check_numbers("calibration", calibration, size=3, wanted=wanted)
        )
        self.workers = (
            check_integer("workers", workers, ge=1) if workers is not None else os.cpu_count() or 1
        )
        self.lm_words = models.read_vocabulary(self.lm) if self.lm is not None else None
        self.lm_unit = (
            lm_unit
            if lm_unit != "auto" or self.lm_words is None
            else models.detect_unit(self.lm_words)
        )
        if self.lm is not None and self.lm_words is None and lm_unit == "auto":
            raise ConfigError(
                f"decoder.lm: {lm} is a binary; decoder.lm_unit=words or characters tells what it is of"
            )
        if (
            self.lm_unit == "words"
            and self.lm is not None
            and self.lm_words is None
            and self.lexicon is None
        ):
            raise ConfigError(
                f"decoder.lm: {lm} is a binary of words; it needs decoder.lexicon, a list of its words"
            )
        if word_score is None:
            word_score = WORD_BONUS if self.lm is not None and self.lm_unit == "words" else 0.0
        self.word_score = check_number("word_score", word_score)
        self._search: _Search | None = None
        self._parallel: Parallel[_Model, Hypothesis] | None = None

    def __call__(self, emissions: Emissions, tokenizer: Tokenizer) -> list[Hypothesis]:
        """The best hypothesis of each utterance. Raises ConfigError for a lexicon that the tokens cannot spell."""
        if self._search is None or self._search.tokenizer != tokenizer:
            self._search, self._parallel = _Search(self, tokenizer), None
        log_probs = emissions.log_probs.detach().float().cpu().numpy()
        if self._parallel is None:  # processes, as flashlight holds Python's lock while it decodes
            self._parallel = Parallel(self._search.decode, self.workers)
        model = _Model(WordTimer.of(emissions), emissions.calibration)
        return self._parallel(log_probs, emissions.lengths.tolist(), model)

    def reweighted(self, *, lm_weight: float, word_score: float) -> "BeamDecoder":
        """The same with other weights; language model and lexicon are not read again."""
        other = copy(self)
        other.lm_weight, other.word_score, other._parallel = lm_weight, word_score, None
        other._search = self._search.reweighted(other) if self._search is not None else None
        return other


_Timed = tuple[str, int, int]  # a word, its first frame, and the frame behind its last


class _Model(NamedTuple):
    """What validation found of a model, and its stride: they turn frames into seconds and into confidence."""

    clock: WordTimer
    calibration: Calibration


class _Found(NamedTuple):
    """A text with its score in nats, its words, and the token of each frame that was looked at."""

    score: float
    words: Sequence[_Timed]
    path: np.ndarray


class _Search:
    """flashlight's decoder for the settings of a Beam and the tokens of a model."""

    def __init__(self, beam: BeamDecoder, tokenizer: Tokenizer) -> None:
        self.tokenizer, self.beam = tokenizer, beam
        if " " not in tokenizer.tokens:
            raise ConfigError(
                "decoder=beam parts words at the space, and this model's alphabet has none"
            )
        self.space = tokenizer.index(" ")
        self.lexicon = beam.lexicon
        self.spotter = HotwordBooster(beam.hotwords, tokenizer) if beam.hotwords else None
        self.rescorer: models.LanguageModel | None = None
        self.model: models.LanguageModel | None = None
        if beam.lm is not None and beam.lm_unit == "characters":
            if not tokenizer.spells:
                raise ConfigError(
                    f"decoder.lm: {beam.lm} is of characters, and this model writes pieces of words"
                )
            spelled = [BAR if c == " " else c for c in tokenizer.tokens]
            self.model = models.LanguageModel(beam.lm, ["<blank>", *spelled])
        elif beam.lm is not None:
            _check_alphabet(beam.lm, beam.lm_words, tokenizer)
            if self.lexicon is not None:
                self.model = models.LanguageModel(beam.lm, self.lexicon)
            else:
                self.rescorer = models.LanguageModel(beam.lm, beam.lm_words or [])
        self.of_tokens = self.model is not None and beam.lm_unit == "characters"
        self.trie = (
            self._trie(self.model if not self.of_tokens else None)
            if self.lexicon is not None
            else None
        )
        self.decoder = self._decoder(beam)

    def reweighted(self, beam: BeamDecoder) -> "_Search":
        """The same for a beam of other weights."""
        other = copy(self)
        other.beam, other.decoder = beam, self._decoder(beam)
        return other

    def _decoder(self, beam: BeamDecoder) -> Any:
        from flashlight.lib.text import decoder as fl

        model = self.model.kenlm if self.model is not None else fl.ZeroLM()
        common = (
            beam.beam_size,
            min(beam.beam_size_token, len(self.tokenizer)),
            beam.beam_threshold,
        )
        weight = beam.lm_weight * models.NATS if self.model is not None else 0.0
        if self.trie is None:
            free = fl.LexiconFreeDecoderOptions(*common, weight, 0.0, True, fl.CriterionType.CTC)
            return fl.LexiconFreeDecoder(free, model, self.space, BLANK, [])
        bound = fl.LexiconDecoderOptions(
            *common, weight, beam.word_score, -math.inf, 0.0, True, fl.CriterionType.CTC
        )
        return fl.LexiconDecoder(bound, self.trie, model, self.space, BLANK, -1, [], self.of_tokens)

    def _trie(self, model: models.LanguageModel | None) -> Any:
        """The lexicon's words as tokens and a space, with what a word is worth at the beginning of a sentence."""
        from flashlight.lib.text import decoder as fl

        assert self.lexicon is not None
        trie = fl.Trie(len(self.tokenizer), self.space)
        for index, word in enumerate(self.lexicon):
            unknown = self.tokenizer.unknown(word)
            if unknown:
                raise ConfigError(
                    f"decoder.lexicon: {word!r} has {' '.join(map(repr, unknown))}, which the model cannot write"
                )
            trie.insert(
                [*self.tokenizer.encode(word), self.space],
                index,
                model.first(index) if model else 0.0,
            )
        trie.smear(fl.SmearingMode.MAX)
        return trie

    def decode(self, log_probs: np.ndarray, model: _Model) -> Hypothesis:
        """The best hypothesis for emissions (U, V), the next best as its alternatives."""
        if self.spotter is not None:
            (log_probs,) = self.spotter(log_probs[None], np.array([len(log_probs)]))
        kept = frames_to_decode(log_probs, self.beam.skip_blank)
        # a blank first, or flashlight takes a space in the first frame for its own and asks no language model about it;
        # a space last where there is a lexicon, whose words all end in one
        scores = np.full(
            (len(kept) + 1 + (self.lexicon is not None), log_probs.shape[1]),
            IMPOSSIBLE,
            dtype=np.float32,
        )
        scores[0, BLANK] = scores[len(kept) + 1 :, self.space] = 0.0
        scores[1 : len(kept) + 1] = log_probs[kept]
        blanks = log_probs[:, BLANK].astype(np.float64)
        skipped = float(blanks.sum() - blanks[kept].sum())
        found: dict[str, _Found] = {}
        results = self.decoder.decode(scores.ctypes.data, *scores.shape)
        for result, (path, words) in zip(results, self._read(results, kept), strict=True):
            text = " ".join([word for word, _, _ in words])
            score = float(result.score) + skipped
            known = found.get(text)
            if known is None:
                found[text] = _Found(score, words, path)
            else:
                found[text] = known._replace(score=float(np.logaddexp(known.score, score)))
        if self.lexicon is None:
            found = {text: self._with_words(text, one) for text, one in found.items()}
        ranked = sorted(found.items(), key=lambda entry: -entry[1].score)
        compared, frames = [one for _, one in ranked[:COMPARED]], len(log_probs)
        best, *others = (
            Hypothesis(
                text, one.score, self._sure(one, compared, scores[1 : len(kept) + 1], frames, model)
            )
            for text, one in ranked[: self.beam.nbest]
        )
        return replace(best, alternatives=tuple(others)) if others else best

    def _read(
        self, results: Sequence[Any], kept: np.ndarray
    ) -> list[tuple[np.ndarray, list[_Timed]]]:
        """Of each of flashlight's results the path through the frames that were kept, and its words.

        Its tokens are a space, the blank's, then one for each frame.
        """
        tokens = [result.tokens for result in results]
        paths = np.fromiter(chain.from_iterable(tokens), np.int64, len(tokens) * len(tokens[0]))
        paths = paths.reshape(len(tokens), -1)
        paths[:, :2] = paths[:, 2 + len(kept) :] = self.space
        texts, starts, ends, bounds = spell_paths(paths, self.tokenizer)
        every = list(
            zip(texts, kept[starts - 2].tolist(), (kept[ends - 3] + 1).tolist(), strict=True)
        )
        words = [every[a:b] for a, b in pairwise(bounds)]
        if self.lexicon is not None and len(words[0]) > np.count_nonzero(
            np.array(results[0].words) >= 0
        ):
            words = [
                one[:-1] for one in words
            ]  # it leaves out what only begins a word, but where all of them do
        return list(zip(paths[:, 2 : 2 + len(kept)], words, strict=True))

    def _with_words(self, text: str, found: _Found) -> _Found:
        score = found.score + self.beam.word_score * len(found.words)
        if self.rescorer is not None:
            score += self.beam.lm_weight * self.rescorer.log_prob(text.split())
        return found._replace(score=score)

    def _sure(
        self,
        found: _Found,
        others: Sequence[_Found],
        log_probs: np.ndarray,
        frames: int,
        model: _Model,
    ) -> tuple[Word, ...]:
        """Words with times and confidence: `log_probs` (K, V) are the frames of its path, out of `frames`.

        A word's confidence is the geometric mean of two, for neither knows what the other does: of what is heard, the
        mean probability of its letters, as the model's calibration corrects it, and of what else could have been said,
        the share of the hypotheses' likelihood that has the same word there.
        """
        best = max(other.score for other in others)
        shares = [math.exp(other.score - best) for other in others]
        whole = sum(shares)
        places: dict[str, list[tuple[int, int, int]]] = {text: [] for text, _, _ in found.words}
        for i, other in enumerate(others):  # who has a word, from where to where
            for text, start, end in other.words:
                if text in places:
                    places[text].append((i, start, end))
        letters = np.exp(
            word_log_probs(
                found.path, log_probs[np.arange(len(log_probs)), found.path], self.tokenizer
            )
        )
        times = model.clock(
            [start for _, start, _ in found.words], [end for _, _, end in found.words], frames
        )
        words = []
        # not strict: the path may also have the beginning of a word, which a lexicon leaves out
        for (text, start, end), at, letter in zip(
            found.words, times, letters.tolist(), strict=False
        ):
            same = {i for i, a, b in places[text] if a < end and b > start}
            share = min(1.0, sum(shares[i] for i in same) / whole)
            confidence = self.beam.calibration(math.sqrt(share * model.calibration(letter)))
            words.append(Word(text, *at, confidence))
        return tuple(words)


def _check_alphabet(path: Path, words: Sequence[str] | None, tokenizer: Tokenizer) -> None:
    if words is not None and all(
        tokenizer.unknown(word) for word in words if not word.startswith("<")
    ):
        shown = next((word for word in words if not word.startswith("<")), "nothing")
        raise ConfigError(
            f"decoder.lm: {path}: the model can write none of its words, as {shown!r}; is it in capitals?"
        )


def _lexicon(path: Path) -> list[str]:
    words = read_phrases(path, "decoder.lexicon")
    parted = next((word for word in words if " " in word), None)
    if parted is not None:
        raise ConfigError(
            f"decoder.lexicon: {path}: {parted!r} is more than a word; one on each line, nothing else"
        )
    if not words:
        raise ConfigError(f"decoder.lexicon: {path}: holds no words")
    return words
