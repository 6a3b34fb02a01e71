"""Beam search with flashlight's C++ decoders, for one vocabulary.

A hypothesis scores log P(text | audio) + lm_weight * log P(text) + word_score * words, in nats. The
first term sums over the alignments in the beam (Graves and Jaitly 2014; Collobert et al. 2016).

    lexicon  language model   search
    no       no, characters   any text; a model of characters takes part in the search
    no       words            any text; the model rescores the final beam
    yes      no, either       texts of words of the lexicon; either model takes part in the search
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from flashlight.lib.text import decoder as flashlight
from numpy import ndarray

from asr.decode.confidence import Candidate, word_posteriors
from asr.decode.ctc_path import frames_to_decode, word_log_probs, word_spans
from asr.decode.hotwords import HotwordBooster
from asr.decode.hypothesis import Hypothesis
from asr.decode.lm import NATS, LanguageModel, LanguageModelFile
from asr.decode.timing import WordTimer
from asr.decode.word_lists import check_spelling
from asr.errors import ConfigError
from asr.nn.emissions import Calibration
from asr.text import BAR, BLANK, Tokenizer

IMPOSSIBLE = -1e4  # nats
MAX_CANDIDATES = 20  # texts that determine the confidence of a word


@dataclass(frozen=True)
class SearchOptions:
    """Validated numbers of a beam search, described in BeamDecoder."""

    beam_size: int
    beam_size_token: int
    beam_threshold: float
    lm_weight: float
    word_score: float
    nbest: int
    skip_blank: float
    calibration: Calibration


class BeamSearch:
    """flashlight's decoder for the tokens of a model, with its language model and lexicon."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        lm: LanguageModelFile | None,
        lexicon: list[str] | None,
        hotwords: dict[str, float],
    ) -> None:
        """Load the language model and build the trie of the lexicon.

        Raises:
            ConfigError: If the tokens do not fit the language model, the lexicon, or the hotwords.
        """
        if " " not in tokenizer.tokens:
            raise ConfigError(
                "beam search needs a space in the model's alphabet to separate words"
            )
        self._arguments = tokenizer, lm, lexicon, hotwords
        self.tokenizer = tokenizer
        self.lexicon = lexicon
        self.space = tokenizer.index(" ")
        self.booster = HotwordBooster(hotwords, tokenizer) if hotwords else None
        self.has_token_lm = lm is not None and lm.unit == "characters"
        self.lm = _load_lm(lm, lexicon, tokenizer) if lm else None
        self.rescorer = None
        if not lexicon and not self.has_token_lm:
            self.rescorer = self.lm
            self.lm = None
        self.trie = self._build_trie(lexicon) if lexicon else None

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a spawned worker build its own search, because flashlight's is not picklable."""
        return BeamSearch, self._arguments

    def _build_trie(self, lexicon: list[str]) -> Any:
        """Return the labels of each word and a space, with its score at the start of a sentence."""
        check_spelling("lexicon", lexicon, self.tokenizer)
        word_lm = None if self.has_token_lm else self.lm
        trie = flashlight.Trie(len(self.tokenizer), self.space)
        for index, word in enumerate(lexicon):
            score = word_lm.initial_score(index) if word_lm else 0.0
            trie.insert([*self.tokenizer.encode(word), self.space], index, score)
        trie.smear(flashlight.SmearingMode.MAX)
        return trie

    def build_decoder(self, options: SearchOptions) -> Any:
        """Return flashlight's decoder with the language model and the lexicon."""
        tokens = min(options.beam_size_token, len(self.tokenizer))
        pruning = options.beam_size, tokens, options.beam_threshold
        lm = self.lm.kenlm if self.lm else flashlight.ZeroLM()
        weight = options.lm_weight * NATS if self.lm else 0.0
        ctc = flashlight.CriterionType.CTC
        if not self.trie:
            free = flashlight.LexiconFreeDecoderOptions(*pruning, weight, 0.0, True, ctc)
            return flashlight.LexiconFreeDecoder(free, lm, self.space, BLANK, [])
        bound = flashlight.LexiconDecoderOptions(
            *pruning,
            weight,
            options.word_score,
            -math.inf,  # for words that are not in the lexicon
            0.0,  # for a space
            True,  # sums over alignments
            ctc,
        )
        return flashlight.LexiconDecoder(
            bound, self.trie, lm, self.space, BLANK, -1, [], self.has_token_lm
        )

    def __call__(
        self,
        log_probs: ndarray,
        options: SearchOptions,
        timer: WordTimer,
        calibration: Calibration,
    ) -> Hypothesis:
        """Return the best hypothesis of an utterance, with the next best as its alternatives.

        The confidence of a word is the geometric mean of two independent estimates: the mean
        probability of its letters, corrected by the calibration of the model, and the share of the
        beam's likelihood that has the word at this place.

        Args:
            log_probs: Emissions (U, V).
            options: Numbers of the search.
            timer: Map from frames to seconds.
            calibration: Calibration of the model.
        """
        if self.booster is not None:
            log_probs = self.booster(log_probs)
        frames = frames_to_decode(log_probs, options.skip_blank)  # (K,)
        blanks = log_probs[:, BLANK].astype(np.float64)
        skipped = float(blanks.sum() - blanks[frames].sum())
        candidates = self._search(log_probs[frames], skipped, options)
        places = frames.tolist()
        hypotheses = []
        for text, score, words, path in candidates[: options.nbest]:
            posteriors = word_posteriors(words, candidates[:MAX_CANDIDATES])
            letters = np.exp(word_log_probs(path, log_probs[frames, path], self.tokenizer))
            # the path may begin one more word, which a lexicon drops
            pairs = zip(posteriors, letters.tolist(), strict=False)
            both = [math.sqrt(p * calibration(q)) for p, q in pairs]
            spans = [(word, places[a], places[b - 1] + 1) for word, a, b in words]
            confidences = map(options.calibration, both)
            timed = timer.time_words(spans, confidences, len(log_probs))
            hypotheses.append(Hypothesis(text, score, timed))
        best, *others = hypotheses
        return replace(best, alternatives=tuple(others))

    def _search(
        self, log_probs: ndarray, skipped: float, options: SearchOptions
    ) -> list[Candidate]:
        """Return the texts of the final beam, best first, with scores summed over their spellings.

        Args:
            log_probs: Emissions (K, V) of the decoded frames.
            skipped: Log-probability of the blanks in the skipped frames.
            options: Numbers of the search.
        """
        results = self._decode(log_probs, options)
        # the tokens of a result are an initial space, a blank, and those of the decoded frames
        decoded = slice(2, 2 + len(log_probs))
        paths = np.array([result.tokens[decoded] for result in results], np.int64)  # (N, K)
        words = word_spans(paths, self.tokenizer)
        if self.lexicon:
            complete = sum(index >= 0 for index in results[0].words)
            if len(words[0]) > complete:  # all results end in the beginning of a word
                words = [spans[:-1] for spans in words]
        candidates: dict[str, Candidate] = {}
        for result, spans, path in zip(results, words, paths, strict=True):
            text = " ".join(word for word, _, _ in spans)
            score = result.score + skipped
            candidate = candidates.get(text, Candidate(text, -math.inf, spans, path))
            total = float(np.logaddexp(candidate.score, score))
            candidates[text] = candidate._replace(score=total)
        if not self.lexicon:  # otherwise flashlight has added the scores of the words
            for text, candidate in candidates.items():
                score = candidate.score + options.word_score * len(candidate.words)
                if self.rescorer is not None:
                    score += options.lm_weight * self.rescorer.log_prob(text.split())
                candidates[text] = candidate._replace(score=score)
        return sorted(candidates.values(), key=lambda candidate: -candidate.score)

    def _decode(self, log_probs: ndarray, options: SearchOptions) -> list[Any]:
        """Return flashlight's results for emissions (K, V) between a blank and a space.

        Without the blank, flashlight takes a space in the first frame for its own initial one and
        does not score it with the language model. Words of a lexicon must end in a space.
        """
        end = 1 + len(log_probs)
        shape = end + bool(self.lexicon), log_probs.shape[1]
        inputs = np.full(shape, IMPOSSIBLE, np.float32)
        inputs[0, BLANK] = inputs[end:, self.space] = 0.0
        inputs[1:end] = log_probs
        return self.build_decoder(options).decode(inputs.ctypes.data, *inputs.shape)


def _load_lm(
    lm: LanguageModelFile, lexicon: list[str] | None, tokenizer: Tokenizer
) -> LanguageModel:
    """Load a language model over the tokens, the words of the lexicon, or its own words.

    Raises:
        ConfigError: If the model cannot write the entries of the language model.
    """
    if lm.unit == "characters":
        if not tokenizer.is_character_level:
            raise ConfigError(
                f"lm: {lm.path} is of characters, but the model writes word pieces"
            )
        characters = [BAR if token == " " else token for token in tokenizer.tokens]
        return LanguageModel(lm.path, ["<blank>", *characters])
    words = [word for word in lm.entries or () if not word.startswith("<")]
    if lm.entries is not None and all(map(tokenizer.unknown, words)):
        shown = words[0] if words else "nothing"
        raise ConfigError(
            f"lm: {lm.path}: the model can write none of its words, such as {shown!r}. "
            "Normalize the text of the language model, for example to lower case"
        )
    return LanguageModel(lm.path, lexicon or lm.entries or [])
