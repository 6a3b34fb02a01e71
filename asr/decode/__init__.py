"""Decoders: from emissions to words with times and confidence."""

from asr.decode.beam import BeamDecoder
from asr.decode.beam_cuda import CudaBeamDecoder
from asr.decode.greedy import GreedyDecoder
from asr.decode.hypothesis import Decoder, Hypothesis, Word
from asr.decode.phrases import PhraseDecoder

__all__ = [
    "BeamDecoder",
    "CudaBeamDecoder",
    "Decoder",
    "GreedyDecoder",
    "Hypothesis",
    "PhraseDecoder",
    "Word",
]
