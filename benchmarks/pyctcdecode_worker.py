"""pyctcdecode's part of benchmarks/decoding.py, run by the interpreter of an environment that has it.

Questions come as lines of JSON and are answered so: first the file of emissions and what there is to decode with, then
a beam for each decoding.
"""

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def decoders(question: dict[str, Any]) -> tuple[dict[bool, Any], dict[str, str]]:
    """pyctcdecode's decoders without (False) and with (True) the language model; by search, why one is missing."""
    try:
        from pyctcdecode import build_ctcdecoder
    except ImportError as error:
        return {}, {"free": str(error), "lexicon, LM": str(error)}
    labels = ["", *question["characters"]]
    made, missing = {False: build_ctcdecoder(labels)}, {}
    if "lm" in question:
        words = Path(question["lexicon"]).read_text(encoding="utf-8").splitlines()
        weights = {"alpha": question["lm_weight"], "beta": question["word_score"]}
        try:
            import kenlm  # noqa: F401, pyctcdecode goes on without it and fails later
        except ImportError as error:
            missing["lexicon, LM"] = str(error)
        else:
            made[True] = build_ctcdecoder(labels, question["lm"], words, **weights)
    return made, missing


def main() -> None:
    logging.disable(logging.CRITICAL)  # it warns of what is meant so
    question = json.loads(sys.stdin.readline())
    with np.load(question["emissions"]) as file:
        arrays = [file[name] for name in file.files]
    made, missing = decoders(question)
    searches = [
        name for name, with_lm in (("free", False), ("lexicon, LM", True)) if with_lm in made
    ]
    print(json.dumps({"searches": searches, "missing": missing}), flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        decoder = made[question["lm"]]
        cpu, wall = time.process_time(), time.perf_counter()
        texts = [decoder.decode(array, beam_width=question["beam"]) for array in arrays]
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        print(json.dumps({"cpu": cpu, "wall": wall, "texts": texts}), flush=True)


if __name__ == "__main__":
    main()
