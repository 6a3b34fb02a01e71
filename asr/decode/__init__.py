"""From emissions to words."""

from asr.decode.beam import Beam
from asr.decode.beam_cuda import BeamCuda
from asr.decode.closed import Closed
from asr.decode.greedy import Greedy
from asr.decode.hypothesis import Hypothesis, Word

__all__ = ["Beam", "BeamCuda", "Closed", "Greedy", "Hypothesis", "Word"]
