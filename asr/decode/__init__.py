"""From emissions to words."""

from asr.decode.beam import Beam
from asr.decode.beam_cuda import BeamCuda
from asr.decode.greedy import Greedy
from asr.decode.hypothesis import Hypothesis, Word
from asr.decode.phrases import Closed

__all__ = ["Beam", "BeamCuda", "Closed", "Greedy", "Hypothesis", "Word"]
