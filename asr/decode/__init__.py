"""From emissions to words."""

from asr.decode.closed import Closed
from asr.decode.greedy import Greedy
from asr.decode.hypothesis import Hypothesis, Word

__all__ = ["Closed", "Greedy", "Hypothesis", "Word"]
