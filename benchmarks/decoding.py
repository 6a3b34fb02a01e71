"""What beam search costs around flashlight's: python benchmarks/decoding.py --checkpoint MODEL --manifest FILE.

The model hears the utterances once; then the same emissions are decoded with beams of 10, 50 and 100, without anything
(free) and, where --lm names an ARPA file of words, with it and its lexicon. The bare call is flashlight's decoder on
arrays made beforehand, in a loop that takes the tokens of the best and nothing else: as torchaudio's ctc_decoder sets
it by default (every token, 50 nats), and pruned as ours is. Ours makes words, times and confidences too. Columns:
milliseconds of the processor for a second of audio (the best of several rounds, in each of which every row has its
turn) and that over the bare calls', unpruned and pruned; by the clock, how many times as much two processes decode as
one (the median of the rounds, each against its own, as a machine's speed drifts); the share of frames left out; the
word error rate and how many points it lies off the unpruned bare call's. The time by the processor hardly depends on
what else runs on the machine, that by the clock needs two idle cores. Last lines: the worst of each.

    python -m recipes.lm text=data/manifests/an4/train.jsonl name=an4
    python benchmarks/decoding.py --checkpoint outputs/an4/model.safetensors \\
        --manifest data/manifests/an4/validation.jsonl --lm data/lm/an4.arpa

pyctcdecode holds numpy below 2, so it needs an environment of its own, whose interpreter --pyctcdecode names. It prunes
by its own defaults: tokens below -5 nats, and hypotheses 10 behind the best as here. kenlm is built
from source (it needs a compiler); without it the rows with a language model are left out.

    python3 -m venv aside && aside/bin/pip install pyctcdecode kenlm
    python benchmarks/decoding.py ... --pyctcdecode aside/bin/python
"""

import argparse
import gc
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn.utils.rnn import pad_sequence

from asr import audio
from asr.data.manifest import read_manifest
from asr.decode import BeamDecoder
from asr.decode.beam import _Search
from asr.decode.ctc_path import frames_to_decode, group_words, token_spans
from asr.evaluation.wer import score_corpus
from asr.nn.ctc import CTCModel
from asr.nn.emissions import Emissions
from asr.text import BLANK, Tokenizer

BEAMS = (10, 50, 100)
LEAST = 0.3  # seconds of each turn: what takes 20 ms tells little of two processes
WORKER = Path(__file__).with_name("pyctcdecode_worker.py")
BARE, PRUNED = "bare call", "bare call, pruned"
WHOLE, SKIPPING, TWO = "ours, every frame", "ours", "ours, two processes"
UNPRUNED = {"beam_threshold": 50.0, "beam_size_token": 10**6}  # as torchaudio's ctc_decoder


class Run(NamedTuple):
    """All utterances decoded: seconds by the processor (of this process alone) and by the clock, and the texts."""

    cpu: float
    wall: float
    texts: Sequence[str]


class Row(NamedTuple):
    """A decoder's seconds for all utterances, by the processor at best and by the clock in each round, and its WER."""

    cpu: float
    walls: Sequence[float]
    wer: float

    def times_as_fast(self, other: "Row") -> float:
        """By the clock, in the median of the rounds."""
        return median(theirs / own for theirs, own in zip(other.walls, self.walls, strict=True))


def timed(decode: Callable[[], list[Any]], text: Callable[[Any], str]) -> Callable[[], Run]:
    """A run of a decoder: as often as `LEAST` holds, by the clock the median. Its texts are made outside the time."""

    def run() -> Run:
        cpu, walls = time.process_time(), []
        while sum(walls) < LEAST:
            start = time.perf_counter()
            found = decode()
            walls.append(time.perf_counter() - start)
        cpu = (time.process_time() - cpu) / len(walls)
        return Run(cpu, median(walls), [text(one) for one in found])

    return run


def heard(
    model: CTCModel, paths: Sequence[Path], limit: int | None
) -> tuple[Emissions, list[str], float]:
    """What the model says of each utterance of some manifests, their references, and the seconds of audio."""
    rows, references, samples = [], [], 0
    for utterance in [utterance for path in paths for utterance in read_manifest(path)][:limit]:
        waveform = torch.from_numpy(
            audio.load(utterance.audio, offset=utterance.offset, duration=utterance.duration)
        )
        with torch.inference_mode():
            rows.append(model(waveform[None], torch.tensor([len(waveform)])).row(0))
        references.append(utterance.text)
        samples += len(waveform)
    lengths = torch.tensor([len(row) for row in rows])
    emissions = Emissions(pad_sequence(rows, batch_first=True), lengths, model.seconds_per_frame)
    return emissions, references, samples / audio.SAMPLE_RATE


def ours(beam: BeamDecoder, emissions: Emissions, tokenizer: Tokenizer) -> Callable[[], Run]:
    return timed(lambda: beam(emissions, tokenizer), lambda hypothesis: hypothesis.text)


def bare(beam: BeamDecoder, emissions: Emissions, tokenizer: Tokenizer) -> Callable[[], Run]:
    """flashlight's decoder with the options of a Beam, on every frame between the blank and the space that it needs."""
    search = _Search(beam, tokenizer)
    decoder, lexicon = search.decoder, search.lexicon
    arrays = []
    for i in range(len(emissions.lengths)):
        frames = emissions.row(i).numpy()
        first, last = np.full((2, 1, frames.shape[1]), -1e4, dtype=np.float32)
        first[0, BLANK] = last[0, search.space] = 0.0
        arrays.append(
            np.concatenate([first, frames, last] if lexicon is not None else [first, frames])
        )

    def decode() -> list[Any]:
        best = []
        for array in arrays:
            result = decoder.decode(array.ctypes.data, *array.shape)[0]
            best.append((result, result.tokens))
        return best

    def text(found: tuple[Any, list[int]]) -> str:
        result, tokens = found
        if lexicon is not None:
            return " ".join(lexicon[index] for index in result.words if index >= 0)
        return " ".join(word for word, _ in group_words(token_spans(np.array(tokens)), tokenizer))

    return timed(decode, text)


class Aside:
    """pyctcdecode in a process of another environment, which has read the emissions from a file."""

    def __init__(
        self, python: str, emissions: Emissions, tokenizer: Tokenizer, options: dict[str, Any]
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "emissions.npz"
            np.savez(path, *(emissions.row(i).numpy() for i in range(len(emissions.lengths))))
            self.process = subprocess.Popen(
                [python, str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
            self.ready = self.ask(emissions=str(path), characters=tokenizer.tokens, **options)

    def ask(self, **question: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            answer = ""
        else:
            answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("the process of --pyctcdecode has ended; its error stands above")
        return json.loads(answer)

    def run(self, beam: int, with_lm: bool) -> Run:
        return Run(**self.ask(beam=beam, lm=with_lm))


def measured(
    ways: dict[str, Callable[[], Run]], references: list[str], rounds: int
) -> dict[str, Row]:
    """Each way's times; all have a turn in each round, and in one before that starts processes and counts not."""
    texts = {name: run().texts for name, run in ways.items()}
    turns = [{name: run() for name, run in ways.items()} for _ in range(rounds)]
    return {
        name: Row(
            min(turn[name].cpu for turn in turns),
            [turn[name].wall for turn in turns],
            score_corpus(references, texts[name]).wer,
        )
        for name in ways
    }


def left_out(beam: BeamDecoder, emissions: Emissions) -> float:
    """The share of frames that a beam search does not look at."""
    kept = sum(
        len(frames_to_decode(emissions.row(i).numpy(), beam.skip_blank))
        for i in range(len(emissions.lengths))
    )
    return 1 - kept / int(emissions.lengths.sum())


class Results:
    """The rows of all searches as a table, and the worst that there is in it."""

    HEADINGS = ("search", "beam", "decoder", "CPU ms / s", "x bare", "x pruned")
    HEADINGS += ("2 processes", "left out", "WER", "off bare")

    def __init__(self, title: str, seconds: float) -> None:
        self.table, self.seconds = Table(title=title), seconds
        for heading in self.HEADINGS:
            self.table.add_column(
                heading, justify="left" if heading in ("search", "decoder") else "right"
            )
        self.worst: dict[str, list[float]] = {}

    def add(self, search: str, size: int, rows: dict[str, Row], skipped: dict[str, float]) -> None:
        """Rows of a search with a beam of `size`; `skipped` is the share of frames left out, where that is known."""
        unpruned, alike, one, two = (rows[name] for name in (BARE, PRUNED, SKIPPING, TWO))
        for name, row in rows.items():
            times = [f"{1000 * row.cpu / self.seconds:.2f}", f"{row.cpu / unpruned.cpu:.2f}"]
            times += [f"{row.cpu / alike.cpu:.2f}", ""]
            self.table.add_row(
                search,
                str(size),
                name,
                *(times if name != TWO else ["", "", "", f"{two.times_as_fast(one):.2f}"]),
                f"{skipped[name]:.0%}" if name in skipped else "",
                f"{row.wer:.2%}",
                f"{100 * (row.wer - unpruned.wer):+.2f}",
            )
        self.table.add_section()
        for name in (WHOLE, SKIPPING):
            for against in (BARE, PRUNED):
                self._note(f"{name} / {against}", rows[name].cpu / rows[against].cpu)
        self._note("points of WER off the bare call", 100 * abs(one.wer - unpruned.wer))
        self._note("points of WER that skipping brings", 100 * abs(one.wer - rows[WHOLE].wer))
        self._note(TWO, -two.times_as_fast(one))

    def print(self, remarks: Sequence[str]) -> None:
        Console(width=120).print(self.table)
        for remark in remarks:
            print(remark)
        for what, figures in self.worst.items():
            if what != TWO:
                print(f"{what}: at most {max(figures):.2f}")
        print(f"two processes decode at least {-max(self.worst[TWO]):.2f} times as much as one")

    def _note(self, what: str, figure: float) -> None:
        self.worst.setdefault(what, []).append(figure)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="a trained model")
    parser.add_argument(
        "--manifest", type=Path, required=True, nargs="+", help="what is decoded, as JSON lines"
    )
    parser.add_argument("--lm", type=Path, help="language model of words, as ARPA")
    parser.add_argument(
        "--lexicon", type=Path, help="its words, one on a line (default: .words beside it)"
    )
    parser.add_argument("--lm-weight", type=float, default=1.0)
    parser.add_argument(
        "--word-bonus", type=float, default=4.0, help="nats for each word, with the language model"
    )
    parser.add_argument("--limit", type=int, help="so many utterances only")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each row")
    parser.add_argument(
        "--pyctcdecode", metavar="PYTHON", help="interpreter of an environment that has it"
    )
    return parser.parse_args()


def main() -> None:
    options = arguments()
    model = CTCModel.load(options.checkpoint).eval()
    tokenizer = model.tokenizer
    emissions, references, seconds = heard(model, options.manifest, options.limit)
    searches: dict[str, dict[str, Any]] = {"free": {}}
    remarks = []
    weights = {"lm_weight": options.lm_weight, "word_score": options.word_score}
    if options.lm:
        lexicon = options.lexicon or options.lm.with_suffix(".words")
        searches["lexicon, LM"] = {"lm": options.lm, "lexicon": lexicon, **weights}
    else:
        remarks.append("no --lm: without a language model only")
    aside = None
    if options.pyctcdecode:
        files = {
            key: str(value)
            for key, value in searches.get("lexicon, LM", {}).items()
            if key in ("lm", "lexicon")
        }
        aside = Aside(options.pyctcdecode, emissions, tokenizer, {**weights, **files})
        remarks += [
            f"pyctcdecode, {search}: {why}"
            for search, why in aside.ready.get("missing", {}).items()
        ]
    else:
        remarks.append("no --pyctcdecode: its rows are left out")

    gc.freeze()  # or the collector now and then walks through all that torch holds, in the turn of whoever is at it
    title = f"{len(references)} utterances, {seconds:.0f} s of audio, {len(tokenizer)} tokens, {os.cpu_count()} cores"
    results = Results(title, seconds)
    for search, settings in searches.items():
        for size in BEAMS:
            beams = {
                WHOLE: BeamDecoder(beam_size=size, skip_blank=1, workers=1, **settings),
                SKIPPING: BeamDecoder(beam_size=size, workers=1, **settings),
                TWO: BeamDecoder(beam_size=size, workers=2, **settings),
            }
            unpruned = BeamDecoder(beam_size=size, skip_blank=1, workers=1, **UNPRUNED, **settings)
            ways = {
                BARE: bare(unpruned, emissions, tokenizer),
                PRUNED: bare(beams[WHOLE], emissions, tokenizer),
            }
            ways |= {name: ours(beam, emissions, tokenizer) for name, beam in beams.items()}
            if aside and search in aside.ready.get("searches", ()):
                ways["pyctcdecode"] = lambda size=size, search=search: aside.run(
                    size, search != "free"
                )
            skipped = {name: left_out(beam, emissions) for name, beam in beams.items()}
            results.add(search, size, measured(ways, references, options.rounds), skipped)
    results.print(remarks)


if __name__ == "__main__":
    main()
