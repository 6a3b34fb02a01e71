"""Compare the beam search with bare flashlight and with pyctcdecode.

    python -m recipes.lm text=data/manifests/an4/train.jsonl name=an4
    python benchmarks/decoding.py --checkpoint outputs/an4/model.safetensors \
        --manifest data/manifests/an4/validation.jsonl --lm data/lm/an4.arpa

The emissions of the manifest are computed once. They are decoded with beams of 10, 50, and 100,
without a language model ("free") and, with --lm, with an ARPA file of words and its lexicon.

The bare call is flashlight's decoder on prepared arrays, in a loop that only takes the tokens of
the best result. It uses the settings of torchaudio's ctc_decoder (every token, 50 nats), and ours
("pruned"). Our decoder also returns words, times, and confidence. The columns are:

- CPU ms / s: CPU milliseconds per second of audio, the best of several rounds. Every row has a turn
  in each round.
- x bare, x pruned: CPU time relative to the bare calls.
- 2 processes: throughput of two processes relative to one. Each round compares both, because the
  speed of a machine drifts; the median counts. This column needs two idle cores, the CPU time
  hardly depends on other programs.
- skipped: share of frames that are not decoded.
- WER, off bare: word error rate, and its distance to that of the unpruned bare call in points.

The last lines show the worst value of each column.

pyctcdecode requires numpy below 2, so it needs its own environment. --pyctcdecode names the
interpreter. It prunes with its own defaults: tokens below -5 nats and hypotheses 10 nats behind the
best. kenlm is built from source, which needs a compiler. Without kenlm, the rows with a language
model are omitted.

    python3 -m venv pyctc && pyctc/bin/pip install pyctcdecode kenlm
    python benchmarks/decoding.py ... --pyctcdecode pyctc/bin/python
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
from asr.decode.beam import BeamDecoder
from asr.decode.beam_search import BeamSearch
from asr.decode.ctc_path import frames_to_decode, word_spans
from asr.evaluation.wer import score_utterance, sum_scores
from asr.nn.ctc import CTCModel
from asr.nn.emissions import Emissions
from asr.text import BLANK, Tokenizer

BEAM_SIZES = (10, 50, 100)
MIN_SECONDS = 0.3  # of each turn, because two processes need more than a few milliseconds
WORKER = Path(__file__).with_name("pyctcdecode_worker.py")
BARE, PRUNED = "bare call", "bare call, pruned"
ALL_FRAMES, SKIPPING, TWO = "ours, all frames", "ours", "ours, two processes"
UNPRUNED = {
    "beam_threshold": 50.0,
    "beam_size_token": 10**6,
}  # as in torchaudio's ctc_decoder


class Run(NamedTuple):
    """One decoding of all utterances: CPU seconds of this process, wall seconds, and texts."""

    cpu: float
    wall: float
    texts: Sequence[str]


class Row(NamedTuple):
    """The best CPU seconds of a decoder, its wall seconds in each round, and its WER."""

    cpu: float
    walls: Sequence[float]
    wer: float

    def speedup(self, other: "Row") -> float:
        """Return the throughput relative to another row, the median of the rounds."""
        return median(
            theirs / own for theirs, own in zip(other.walls, self.walls, strict=True)
        )


def make_run(
    decode: Callable[[], list[Any]], to_text: Callable[[Any], str]
) -> Callable[[], Run]:
    """Return a function that decodes repeatedly for `MIN_SECONDS` and returns the median times.

    The conversion to text is not timed.
    """

    def run() -> Run:
        cpu, walls = time.process_time(), []
        while sum(walls) < MIN_SECONDS:
            start = time.perf_counter()
            results = decode()
            walls.append(time.perf_counter() - start)
        cpu = (time.process_time() - cpu) / len(walls)
        return Run(cpu, median(walls), [to_text(result) for result in results])

    return run


def compute_emissions(
    model: CTCModel, manifests: Sequence[Path], limit: int | None
) -> tuple[Emissions, list[str], float]:
    """Return the emissions of the utterances, their references, and the seconds of audio."""
    rows, references, samples = [], [], 0
    for utterance in [utterance for path in manifests for utterance in read_manifest(path)][
        :limit
    ]:
        waveform = torch.from_numpy(
            audio.load(
                utterance.audio, offset=utterance.offset, duration=utterance.duration
            )
        )
        with torch.inference_mode():
            rows.append(model(waveform[None], torch.tensor([len(waveform)])).row(0))
        references.append(utterance.text)
        samples += len(waveform)
    lengths = torch.tensor([len(row) for row in rows])
    emissions = Emissions(
        pad_sequence(rows, batch_first=True), lengths, model.seconds_per_frame
    )
    return emissions, references, samples / audio.SAMPLE_RATE


def our_run(
    decoder: BeamDecoder, emissions: Emissions, tokenizer: Tokenizer
) -> Callable[[], Run]:
    """Return a run of a BeamDecoder."""
    return make_run(
        lambda: decoder(emissions, tokenizer), lambda hypothesis: hypothesis.text
    )


def bare_run(
    decoder: BeamDecoder, emissions: Emissions, tokenizer: Tokenizer
) -> Callable[[], Run]:
    """Return a run of flashlight's decoder on every frame, with the options of a BeamDecoder."""
    search = BeamSearch(tokenizer, decoder.lm, decoder.lexicon, {})
    flashlight, lexicon = search.build_decoder(decoder.options), search.lexicon
    arrays = []
    for i in range(len(emissions.lengths)):
        frames = emissions.row(i).numpy()  # (U, V)
        first, last = np.full((2, 1, frames.shape[1]), -1e4, dtype=np.float32)
        first[0, BLANK] = last[0, search.space] = 0.0
        parts = [first, frames, last] if lexicon is not None else [first, frames]
        arrays.append(np.concatenate(parts))

    def decode() -> list[Any]:
        best = []
        for array in arrays:
            result = flashlight.decode(array.ctypes.data, *array.shape)[0]
            best.append((result, result.tokens))
        return best

    def to_text(best: tuple[Any, list[int]]) -> str:
        result, tokens = best
        if lexicon is not None:
            return " ".join(lexicon[index] for index in result.words if index >= 0)
        (spans,) = word_spans(np.array([tokens]), tokenizer)
        return " ".join(word for word, _, _ in spans)

    return make_run(decode, to_text)


class PyCTCDecode:
    """pyctcdecode in a process of another environment, which reads the emissions from a file."""

    def __init__(
        self,
        python: str,
        emissions: Emissions,
        tokenizer: Tokenizer,
        options: dict[str, Any],
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "emissions.npz"
            np.savez(
                path, *(emissions.row(i).numpy() for i in range(len(emissions.lengths)))
            )
            self.process = subprocess.Popen(
                [python, str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
            self.ready = self.request(
                emissions=str(path), characters=tokenizer.tokens, **options
            )

    def request(self, **message: Any) -> dict[str, Any]:
        """Return the answer of the process to a message."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            answer = ""
        else:
            answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("the process of --pyctcdecode has ended; see its error above")
        return json.loads(answer)

    def run(self, beam_size: int, with_lm: bool) -> Run:
        """Decode all utterances."""
        return Run(**self.request(beam=beam_size, lm=with_lm))


def measure(
    runs: dict[str, Callable[[], Run]], references: list[str], rounds: int
) -> dict[str, Row]:
    """Return a row for each run. A first round, which starts processes, does not count."""
    texts = {name: run().texts for name, run in runs.items()}
    turns = [{name: run() for name, run in runs.items()} for _ in range(rounds)]
    return {
        name: Row(
            min(turn[name].cpu for turn in turns),
            [turn[name].wall for turn in turns],
            sum_scores(map(score_utterance, references, texts[name])).wer,
        )
        for name in runs
    }


def skipped_share(decoder: BeamDecoder, emissions: Emissions) -> float:
    """Return the share of frames that a decoder skips."""
    decoded = sum(
        len(frames_to_decode(emissions.row(i).numpy(), decoder.options.skip_blank))
        for i in range(len(emissions.lengths))
    )
    return 1 - decoded / int(emissions.lengths.sum())


class Results:
    """A table with the rows of all searches, and the worst values in it."""

    HEADINGS = ("search", "beam", "decoder", "CPU ms / s", "x bare", "x pruned")
    HEADINGS += ("2 processes", "skipped", "WER", "off bare")

    def __init__(self, title: str, seconds: float) -> None:
        self.table, self.seconds = Table(title=title), seconds
        for heading in self.HEADINGS:
            self.table.add_column(
                heading, justify="left" if heading in ("search", "decoder") else "right"
            )
        self.worst: dict[str, list[float]] = {}

    def add(
        self, search: str, size: int, rows: dict[str, Row], skipped: dict[str, float]
    ) -> None:
        """Add the rows of a search with a beam of `size`, and their shares of skipped frames."""
        unpruned, pruned, one, two = (rows[name] for name in (BARE, PRUNED, SKIPPING, TWO))
        for name, row in rows.items():
            times = [
                f"{1000 * row.cpu / self.seconds:.2f}",
                f"{row.cpu / unpruned.cpu:.2f}",
            ]
            times += [f"{row.cpu / pruned.cpu:.2f}", ""]
            self.table.add_row(
                search,
                str(size),
                name,
                *(times if name != TWO else ["", "", "", f"{two.speedup(one):.2f}"]),
                f"{skipped[name]:.0%}" if name in skipped else "",
                f"{row.wer:.2%}",
                f"{100 * (row.wer - unpruned.wer):+.2f}",
            )
        self.table.add_section()
        for name in (ALL_FRAMES, SKIPPING):
            for baseline in (BARE, PRUNED):
                self._note(f"{name} / {baseline}", rows[name].cpu / rows[baseline].cpu)
        self._note("points of WER off the bare call", 100 * abs(one.wer - unpruned.wer))
        self._note("points of WER from skipping", 100 * abs(one.wer - rows[ALL_FRAMES].wer))
        self._note(TWO, -two.speedup(one))

    def print(self, remarks: Sequence[str]) -> None:
        """Print the table, remarks, and the worst values."""
        Console(width=120).print(self.table)
        for remark in remarks:
            print(remark)
        for name, values in self.worst.items():
            if name != TWO:
                print(f"{name}: at most {max(values):.2f}")
        print(
            f"two processes: at least {-max(self.worst[TWO]):.2f} times the throughput of one"
        )

    def _note(self, name: str, value: float) -> None:
        self.worst.setdefault(name, []).append(value)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="trained model")
    parser.add_argument(
        "--manifest", type=Path, required=True, nargs="+", help="utterances as JSON lines"
    )
    parser.add_argument("--lm", type=Path, help="language model of words, an ARPA file")
    parser.add_argument(
        "--lexicon", type=Path, help="its words, one per line (default: .words beside it)"
    )
    parser.add_argument("--lm-weight", type=float, default=1.0)
    parser.add_argument(
        "--word-score",
        type=float,
        default=4.0,
        help="nats per word, with the language model",
    )
    parser.add_argument("--limit", type=int, help="number of utterances (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each row")
    parser.add_argument(
        "--pyctcdecode",
        metavar="PYTHON",
        help="interpreter of an environment with pyctcdecode",
    )
    return parser.parse_args()


def start_pyctcdecode(
    python: str, emissions: Emissions, tokenizer: Tokenizer, settings: dict[str, Any]
) -> PyCTCDecode:
    """Start pyctcdecode, with the files of `settings` if there are any."""
    options = {
        key: str(value) if key in ("lm", "lexicon") else value
        for key, value in settings.items()
    }
    return PyCTCDecode(python, emissions, tokenizer, options)


def make_runs(
    beam_size: int, settings: dict[str, Any], emissions: Emissions, tokenizer: Tokenizer
) -> tuple[dict[str, Callable[[], Run]], dict[str, float]]:
    """Return the runs of a search with a beam size, and the shares of frames that ours skip."""
    decoders = {
        ALL_FRAMES: BeamDecoder(beam_size=beam_size, skip_blank=1, workers=1, **settings),
        SKIPPING: BeamDecoder(beam_size=beam_size, workers=1, **settings),
        TWO: BeamDecoder(beam_size=beam_size, workers=2, **settings),
    }
    unpruned = BeamDecoder(
        beam_size=beam_size, skip_blank=1, workers=1, **UNPRUNED, **settings
    )
    runs = {
        BARE: bare_run(unpruned, emissions, tokenizer),
        PRUNED: bare_run(decoders[ALL_FRAMES], emissions, tokenizer),
    }
    runs |= {
        name: our_run(decoder, emissions, tokenizer) for name, decoder in decoders.items()
    }
    return runs, {
        name: skipped_share(decoder, emissions) for name, decoder in decoders.items()
    }


def main() -> None:
    """Measure all searches and print the table."""
    options = parse_arguments()
    model = CTCModel.load(options.checkpoint).eval()
    tokenizer = model.tokenizer
    emissions, references, seconds = compute_emissions(
        model, options.manifest, options.limit
    )
    searches: dict[str, dict[str, Any]] = {"free": {}}
    remarks = []
    weights = {"lm_weight": options.lm_weight, "word_score": options.word_score}
    if options.lm:
        lexicon = options.lexicon or options.lm.with_suffix(".words")
        searches["lexicon, LM"] = {"lm": options.lm, "lexicon": lexicon, **weights}
    else:
        remarks.append("no --lm: only searches without a language model")
    pyctcdecode = None
    if options.pyctcdecode:
        settings = searches.get("lexicon, LM", weights)
        pyctcdecode = start_pyctcdecode(options.pyctcdecode, emissions, tokenizer, settings)
        missing = pyctcdecode.ready.get("missing", {})
        remarks += [
            f"pyctcdecode, {search}: {reason}" for search, reason in missing.items()
        ]
    else:
        remarks.append("no --pyctcdecode: its rows are omitted")

    gc.freeze()  # or the collector scans all objects of torch during the turn of any row
    size = (
        f"{len(references)} utterances, {seconds:.0f} s of audio, {len(tokenizer)} tokens"
    )
    results = Results(f"{size}, {os.cpu_count()} cores", seconds)
    for search, settings in searches.items():
        for beam_size in BEAM_SIZES:
            runs, skipped = make_runs(beam_size, settings, emissions, tokenizer)
            if pyctcdecode and search in pyctcdecode.ready.get("searches", ()):
                with_lm = search != "free"
                runs["pyctcdecode"] = lambda b=beam_size, lm=with_lm: pyctcdecode.run(b, lm)
            results.add(
                search, beam_size, measure(runs, references, options.rounds), skipped
            )
    results.print(remarks)


if __name__ == "__main__":
    main()
