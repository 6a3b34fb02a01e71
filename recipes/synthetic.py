"""The built-in corpus: sentences of a small grammar, spoken by eSpeak NG's voices. Nothing is downloaded.

    python -m recipes.synthetic root=data hours=2

Training, validation and test share the grammar and the accents; voice variants, and all sentences of more
than three words, are of one part only. The same settings give the same bytes, whatever the number of workers.
"""

import hashlib
import itertools
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
from rich.progress import Progress

from asr import audio
from asr.config.app import run_recipe
from asr.errors import AsrError
from recipes import espeak
from recipes.fetch import RecipeError, console
from recipes.prepare import RECORD, Recording, Splits
from recipes.prepare import prepare as write_manifests

SHARES = {"train": 1.0, "validation": 0.1, "test": 0.15}  # of `hours`
SECONDS = 2.9  # of the mean utterance, to get from hours to a number of sentences
SHARD = 150  # utterances that one process speaks

ACCENTS = "en-us en en-gb-scotland en-029 en-gb-x-rp en-gb-x-gbclan en-us-nyc en-gb-x-gbcwmd"
ACCENTS_EACH = {"train": 5, "validation": 3, "test": 3}  # for each variant
# A variant stands in the same part as its twin (edward2 and adam, belinda and linda). Left out: whispers,
# robots, echoes, croaks, and those that change the length of syllables.
VARIANTS = {
    "train": "m1 f2 m4 linda m5 f4 m7 f5 m8 aunty Gene belinda Mario grandma boris max adam benjamin Mike "
    "michel paul travis Michael edward2 Nguyen",
    "validation": "m2 f1 Alex quincy",
    "test": "m3 f3 m6 robert victor Annie",
}

# rule: choices, equally likely, parted by |
GRAMMAR = """
sentence: turn {onoff} the {room} {device} | please turn the {device} {onoff} in the {room}
    | {shut} the {room} {opening} | are the {opening} in the {room} {state} | make the {room} {warmth}
    | set the {room} to {degrees} degrees | the {room} is at {degrees} degrees
    | how {adjective} is it in the {room} | is it {adjective} in {city} | what's the weather in {city} {on}
    | call {digits} | call {person} at {time} | the number of the {profession} is {digits}
    | it is {time} | wake me at {time} {on} | what's on {owner} list for {weekday} {daytime}
    | remind {person} to {task} | remind me to {task} on {date} | tell {person} to {task} by {time}
    | {owner} birthday is on {date} | the meeting with {person} is on {date} at {time}
    | play {some} {music} in the {room} | stop the {music} | play the {ordinal} song by {person}
    | set a timer for {count} {unit} | add {goods} and {goods} to the shopping list
    | will it {rain} in {city} on {date} | the {vehicle} to {city} leaves at {time}
    | book a {vehicle} to {city} for {person} on {date} | read the {ordinal} message from {person}
    | send a message to {person} and {person} | {count} {goods} cost {tens} pounds
    | the answer is {hundreds} | {count} plus {count} is {hundreds}
onoff: on | off
room: kitchen | bedroom | bathroom | living room | garage | garden | hall | office
device: lights | heating | radio | television | fan | alarm
shut: open | close | lock | please open | please close | please lock
opening: windows | doors | curtains
state: open | closed | locked
warmth: warmer | cooler | brighter
adjective: warm | cold | dark | windy | sunny
degrees: {teen} | twenty | twenty {one to nine}
digits: {digit} {digit} {digit} {digit} | {digit} {digit} {digit} {digit} {digit}
    | {digit} {digit} double {digit} {digit} {digit}
digit: zero | {one to nine}
one to nine: one | two | three | four | five | six | seven | eight | nine
teen: ten | eleven | twelve | thirteen | fourteen | fifteen | sixteen | seventeen | eighteen | nineteen
minute: twenty | thirty | forty | fifty
tens: {minute} | sixty | seventy | eighty | ninety
count: {one to nine} | {teen} | {tens} | {tens} {one to nine}
hundreds: {one to nine} hundred | {one to nine} hundred and {count} | {count}
ordinal: {first to ninth} | next | last
first to ninth: first | second | third | fourth | fifth | sixth | seventh | eighth | ninth
tenth and on: tenth | eleventh | twelfth | thirteenth | fourteenth | fifteenth | sixteenth | seventeenth
    | eighteenth | nineteenth | twentieth | thirtieth
day: {first to ninth} | twenty {first to ninth} | {tenth and on} | {tenth and on} | {tenth and on}
month: january | february | march | april | may | june | july | august | september | october | november
    | december
weekday: monday | tuesday | wednesday | thursday | friday | saturday | sunday
date: the {day} of {month} | {month} the {day} | {weekday} the {day}
on: today | tomorrow | tonight | on {weekday} | tomorrow {daytime} | next {weekday}
daytime: morning | afternoon | evening
hour: {one to nine} | ten | eleven | twelve
time: {hour} o'clock | half past {hour} | a quarter past {hour} | a quarter to {hour} | midnight | noon
    | {hour} {teen} | {hour} {minute} | {hour} {minute} {one to nine} | {hour} in the {daytime}
unit: seconds | minutes | hours
person: alice | bob | carol | david | emma | frank | grace | henry | irene | jack | laura | peter
    | my mother | my brother | my sister
owner: alice's | henry's | my mother's | my brother's | my sister's
profession: doctor | dentist | bank
task: call the {profession} | buy {goods} | buy some {goods} | book a {vehicle} | write to {person}
    | clean the {room} | call {person}
goods: apples | eggs | lemons | tickets | milk bottles | coffee cups | cheese rolls | oranges
some: some | my
music: music | jazz | radio | song
rain: rain | snow | be {adjective}
city: london | paris | berlin | madrid | boston | chicago | oslo | rome
vehicle: train | taxi | bus | car
"""
RULES = {
    name: choices.split(" | ")
    for name, choices in (
        line.split(": ") for line in GRAMMAR.replace("\n    ", " ").strip().split("\n")
    )
}


@dataclass(frozen=True)
class Line:
    """One utterance to be made: its words, voice, speed (words a minute) and pitch (0 to 99)."""

    path: str
    text: str
    speaker: str
    speed: int
    pitch: int
    seed: tuple[int, int]


def synthetic(
    *,
    root: Path = Path("data"),
    hours: float = 2.0,
    seed: int = 0,
    workers: int = 0,
    again: bool = False,
) -> Path:
    """Speak `hours` of training audio, a tenth of it for validation, 15 % for test; the manifests' folder.

    The audio goes below root/synthetic. `workers` processes work at a time (0: one a core). Where the same
    corpus lies there whole already nothing is done, unless `again`; another one is replaced. Raises
    RecipeError for settings that make no sense and where eSpeak NG does not load.
    """
    if not (0 < hours < math.inf and seed >= 0 and workers >= 0):
        raise RecipeError(
            f"hours={hours} seed={seed} workers={workers}: give hours > 0, the others >= 0"
        )
    root = Path(root)
    folder, manifests = root / "synthetic", root / "manifests" / "synthetic"
    parts = plan(hours, seed)
    lines = [line for part in parts.values() for line in part]

    def splits() -> Splits:
        for path in (manifests / RECORD, *manifests.glob("*.jsonl")):
            path.unlink(missing_ok=True)  # of the audio that goes now
        for part in parts:
            shutil.rmtree(folder / part, ignore_errors=True)
        _speak_all(lines, folder, workers or os.cpu_count() or 1)
        return {
            part: [Recording(folder / line.path, line.text, line.speaker) for line in of_part]
            for part, of_part in parts.items()
        }

    whole = all((folder / line.path).exists() for line in lines)
    digest = hashlib.sha256(json.dumps([asdict(line) for line in lines]).encode()).hexdigest()
    options = {
        "hours": hours,
        "seed": seed,
        "plan": digest,
    }  # the plan changes with the grammar and the voices
    return write_manifests("synthetic", splits, root=root, again=again or not whole, **options)


prepare = synthetic  # as a library: recipes.synthetic.prepare(root=...)


def plan(hours: float, seed: int) -> dict[str, list[Line]]:
    """Every utterance of the corpus by part: a function of its arguments and this file alone."""
    parts: dict[str, list[Line]] = {}
    heard: set[str] = set()
    for number, (part, share) in enumerate(SHARES.items()):
        dice = random.Random(f"{part} {seed}")
        count = max(1, round(share * hours * 3600 / SECONDS))
        voices = speakers(part)
        lines = []
        manner = {voice: (dice.uniform(115, 155), dice.uniform(35, 65)) for voice in voices}
        for i in range(count):
            voice = voices[i * len(voices) // count]
            text = sentence(dice)
            while text in heard and len(text.split()) > 3:
                text = sentence(dice)
            speed, pitch = manner[voice]
            lines.append(
                Line(
                    path=f"{part}/{voice.replace('+', '-')}/{i:06d}.flac",
                    text=text,
                    speaker=voice,
                    speed=round(speed * dice.uniform(0.92, 1.08)),
                    pitch=round(pitch + dice.uniform(-6, 6)),
                    seed=(seed, number << 32 | i),
                )
            )
        heard.update(line.text for line in lines)
        parts[part] = lines
    return parts


def speakers(part: str) -> list[str]:
    """The voices of a part, as eSpeak NG names them: each of its variants with some accents in turn."""
    accents, variants = ACCENTS.split(), VARIANTS[part].split()
    drawn = itertools.cycle(accents)
    return [f"{next(drawn)}+{variant}" for variant in variants for _ in range(ACCENTS_EACH[part])]


def sentence(dice: random.Random, rule: str = "sentence") -> str:
    """A sentence, or what another rule of the grammar gives: words in lower case, numbers spelled out."""
    return re.sub(r"\{([^}]+)\}", lambda slot: sentence(dice, slot[1]), dice.choice(RULES[rule]))


def record_speech(line: Line, folder: Path) -> None:
    """Speak a line into its file below `folder`: 16-bit FLAC at 16 kHz, with a little noise.

    0.05 to 0.4 s of room before and after, white or pink noise 15 to 35 dB below the speech, peak 1 to 15 dB
    below full scale.
    """
    samples, rate = espeak.speak(line.text, line.speaker, speed=line.speed, pitch=line.pitch)
    speech = audio.resample(samples.astype(np.float32) / 32768, rate, audio.SAMPLE_RATE)
    dice = np.random.default_rng(line.seed)
    before, after = (int(s * audio.SAMPLE_RATE) for s in dice.uniform(0.05, 0.4, 2))
    waveform = np.pad(speech, (before, after))
    noise = _noise(len(waveform), dice, pink=dice.random() < 0.5)
    waveform += noise * np.sqrt(np.mean(speech**2)) * 10 ** (-dice.uniform(15, 35) / 20)
    waveform *= 10 ** (-dice.uniform(1, 15) / 20) / np.abs(waveform).max()
    path = folder / line.path
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(
        path, np.round(waveform * 32767).astype(np.int16), audio.SAMPLE_RATE, subtype="PCM_16"
    )


def _noise(length: int, dice: np.random.Generator, *, pink: bool) -> np.ndarray:
    """Noise (S,) of unit power: white, or with a power that falls with the frequency."""
    noise = dice.standard_normal(length)
    if pink:
        spectrum = np.fft.rfft(noise)
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
        noise = np.fft.irfft(spectrum, length)
    return noise / np.sqrt(np.mean(noise**2))


def _speak_all(lines: list[Line], folder: Path, workers: int) -> None:
    shards = [lines[i : i + SHARD] for i in range(0, len(lines), SHARD)]
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("speaking", total=len(lines))
        with ThreadPoolExecutor(workers) as pool:
            try:
                for spoken in pool.map(lambda shard: _speak_shard(shard, folder), shards):
                    bar.update(task, advance=spoken)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _speak_shard(shard: list[Line], folder: Path) -> int:
    """Have some lines spoken by a process of their own (see recipes.espeak for why); how many they are.

    Not by multiprocessing: that would import the caller's main module again, and all that training needs.
    """
    done = subprocess.run(
        [sys.executable, "-c", "from recipes.synthetic import _shard_main; _shard_main()"],
        input=json.dumps({"folder": str(folder), "lines": [asdict(line) for line in shard]}),
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise RecipeError(f"the corpus cannot be spoken: {reason}")
    return len(shard)


def _shard_main() -> None:
    job = json.load(sys.stdin)
    try:
        for line in job["lines"]:
            record_speech(Line(**line), Path(job["folder"]))
    except (AsrError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    sys.exit(run_recipe(synthetic))
