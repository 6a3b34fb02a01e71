"""From emissions to words."""

from asr.decode.greedy import Greedy
from asr.decode.hypothesis import Hypothesis, Word

__all__ = ["Greedy", "Hypothesis", "Word"]
