"""Beam search on the GPU, whole batches at once: torchaudio's prefix search, without language model and lexicon."""

from dataclasses import replace
from typing import Any

import numpy as np

from asr.bounds import checked, count
from asr.decode.align import best_path
from asr.decode.greedy import along
from asr.decode.hypothesis import Hypothesis
from asr.errors import ConfigError
from asr.model import Emissions
from asr.text import Tokenizer


class BeamCuda:
    """`beam_size` prefixes are kept from frame to frame, at most as many as the model has tokens.

    Frames whose blank is likelier than `skip_blank` are left out; 1 leaves out none. With `n_best` above 1 a hypothesis
    carries the next best ones as its alternatives. A score is what the search gives: the log-probability of the text in
    nats over the alignments that it held. Words have the times of the text's likeliest path, and a confidence as
    Greedy's, from the probabilities of their letters on that path.
    """

    def __init__(self, *, beam_size: int = 10, n_best: int = 1, skip_blank: float = 0.95) -> None:
        """Raises ConfigError for a number out of range."""
        self.beam_size = count("decoder.beam_size", beam_size, least=1)
        self.n_best = count("decoder.n_best", n_best, least=1, most=beam_size)
        self.skip_blank = checked("decoder.skip_blank", skip_blank, above=0, most=1)
        self._search: Any = None
        self._tokenizer: Tokenizer | None = None

    def __call__(self, emissions: Emissions, tokenizer: Tokenizer) -> list[Hypothesis]:
        """The best hypothesis of each utterance. Raises ConfigError where the emissions are not on a GPU."""
        if not emissions.log_probs.is_cuda:
            raise ConfigError("decoder=beam_cuda works on a GPU: give device=cuda, or take decoder=beam")
        if tokenizer != self._tokenizer:
            self._search, self._tokenizer = self._built(tokenizer), tokenizer
        log_probs = emissions.log_probs.detach().float().contiguous()
        found = self._search(log_probs, emissions.lengths.to(log_probs.device).int())
        rows = log_probs.cpu().numpy()
        return [
            self._hypothesis(prefixes, row[:length], tokenizer, emissions)
            for prefixes, row, length in zip(found, rows, emissions.lengths.tolist(), strict=True)
        ]

    def _built(self, tokenizer: Tokenizer) -> Any:
        from torchaudio.models.decoder import cuda_ctc_decoder  # here, for it loads a library of its own

        if self.n_best > len(tokenizer):
            raise ConfigError(f"decoder.n_best is {self.n_best}; this model's {len(tokenizer)} tokens are the limit")
        return cuda_ctc_decoder(
            ["<blank>", *tokenizer.tokens],
            nbest=self.n_best,
            beam_size=self.beam_size,
            blank_skip_threshold=self.skip_blank,
        )

    @staticmethod
    def _hypothesis(
        prefixes: list[Any], log_probs: np.ndarray, tokenizer: Tokenizer, emissions: Emissions
    ) -> Hypothesis:
        """The best of the texts that were found for emissions (U, V), the others as its alternatives."""
        hypotheses = []
        for prefix in prefixes:
            labels = np.array(prefix.tokens, dtype=np.int64)
            path = best_path(log_probs, labels)
            said = along(path, np.take_along_axis(log_probs, path[:, None], 1)[:, 0], tokenizer, emissions)
            hypotheses.append(replace(said, score=float(prefix.score)))
        best, *others = hypotheses
        return replace(best, alternatives=tuple(others))
