"""From emissions to words."""

from asr.decode.beam import BeamDecoder
from asr.decode.beam_cuda import CudaBeamDecoder
from asr.decode.greedy import GreedyDecoder
from asr.decode.hypothesis import Hypothesis, Word
from asr.decode.phrases import PhraseDecoder

__all__ = ["BeamDecoder", "CudaBeamDecoder", "GreedyDecoder", "Hypothesis", "PhraseDecoder", "Word"]
