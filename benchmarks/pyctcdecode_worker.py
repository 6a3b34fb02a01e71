"""Decode with pyctcdecode for benchmarks/decoding.py, in an environment that has it.

Messages and answers are lines of JSON. The first message names the file of emissions and the
settings. Each further message asks for one decoding.
"""

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def build_decoders(message: dict[str, Any]) -> tuple[dict[bool, Any], dict[str, str]]:
    """Return the decoders without (False) and with (True) a language model.

    The second value is the reason why the decoder of a search is missing.
    """
    try:
        from pyctcdecode import build_ctcdecoder
    except ImportError as error:
        return {}, {"free": str(error), "lexicon, LM": str(error)}
    labels = ["", *message["characters"]]
    decoders, missing = {False: build_ctcdecoder(labels)}, {}
    if "lm" in message:
        words = Path(message["lexicon"]).read_text(encoding="utf-8").splitlines()
        weights = {"alpha": message["lm_weight"], "beta": message["word_score"]}
        try:
            import kenlm  # noqa: F401, without it pyctcdecode fails later
        except ImportError as error:
            missing["lexicon, LM"] = str(error)
        else:
            decoders[True] = build_ctcdecoder(labels, message["lm"], words, **weights)
    return decoders, missing


def main() -> None:
    """Answer the messages on standard input."""
    logging.disable(logging.CRITICAL)  # it warns about the settings, which are intended
    message = json.loads(sys.stdin.readline())
    with np.load(message["emissions"]) as file:
        arrays = [file[name] for name in file.files]
    decoders, missing = build_decoders(message)
    names = {False: "free", True: "lexicon, LM"}
    searches = [name for with_lm, name in names.items() if with_lm in decoders]
    print(json.dumps({"searches": searches, "missing": missing}), flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        decoder = decoders[message["lm"]]
        cpu, wall = time.process_time(), time.perf_counter()
        texts = [decoder.decode(array, beam_width=message["beam"]) for array in arrays]
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        print(json.dumps({"cpu": cpu, "wall": wall, "texts": texts}), flush=True)


if __name__ == "__main__":
    main()
