"""The built-in corpus: sentences of a small grammar, synthesized with eSpeak NG.

    python -m recipes.synthetic root=data hours=2

Train, validation, and test share the grammar and the accents. Each voice variant, and each sentence
of more than three words, is in one split only. The same settings give the same bytes, whatever the
number of workers.
"""

import hashlib
import json
import random
import re
import shutil
import sys
from dataclasses import asdict
from itertools import chain, cycle
from pathlib import Path

from asr.config.app import run_recipe
from asr.validation import check_integer, check_number
from recipes.errors import convert_errors
from recipes.prepare import RECORD, Recording, Splits
from recipes.prepare import prepare as write_manifests
from recipes.synthesis import Prompt, write_recordings

SHARES = {"train": 1.0, "validation": 0.1, "test": 0.15}  # of the hours
SECONDS = 2.9  # mean duration of an utterance, to convert hours to a number of sentences

ACCENTS = (
    "en-us en en-gb-scotland en-029 en-gb-x-rp en-gb-x-gbclan en-us-nyc en-gb-x-gbcwmd"
)
ACCENTS_EACH = {"train": 5, "validation": 3, "test": 3}  # number for each variant
# Similar variants are in the same split (edward2 and adam, belinda and linda). Whispers, robots,
# echoes, croaks, and variants that change the length of syllables are left out.
VARIANTS = {
    "train": "m1 f2 m4 linda m5 f4 m7 f5 m8 aunty Gene belinda Mario grandma boris max adam "
    "benjamin Mike michel paul travis Michael edward2 Nguyen",
    "validation": "m2 f1 Alex quincy",
    "test": "m3 f3 m6 robert victor Annie",
}

# RULE: alternatives of equal probability, separated by |. {RULE} stands for one of them.
GRAMMAR = """
sentence: turn {onoff} the {room} {device} | please turn the {device} {onoff} in the {room}
    | {shut} the {room} {opening} | are the {opening} in the {room} {state}
    | make the {room} {warmth} | set the {room} to {degrees} degrees
    | the {room} is at {degrees} degrees | how {adjective} is it in the {room}
    | is it {adjective} in {city} | what's the weather in {city} {on} | call {digits}
    | call {person} at {time} | the number of the {profession} is {digits} | it is {time}
    | wake me at {time} {on} | what's on {owner} list for {weekday} {daytime}
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
teen: ten | eleven | twelve | thirteen | fourteen | fifteen | sixteen | seventeen | eighteen
    | nineteen
minute: twenty | thirty | forty | fifty
tens: {minute} | sixty | seventy | eighty | ninety
count: {one to nine} | {teen} | {tens} | {tens} {one to nine}
hundreds: {one to nine} hundred | {one to nine} hundred and {count} | {count}
ordinal: {first to ninth} | next | last
first to ninth: first | second | third | fourth | fifth | sixth | seventh | eighth | ninth
tenth and on: tenth | eleventh | twelfth | thirteenth | fourteenth | fifteenth | sixteenth
    | seventeenth | eighteenth | nineteenth | twentieth | thirtieth
day: {first to ninth} | twenty {first to ninth} | {tenth and on} | {tenth and on} | {tenth and on}
month: january | february | march | april | may | june | july | august | september | october
    | november | december
weekday: monday | tuesday | wednesday | thursday | friday | saturday | sunday
date: the {day} of {month} | {month} the {day} | {weekday} the {day}
on: today | tomorrow | tonight | on {weekday} | tomorrow {daytime} | next {weekday}
daytime: morning | afternoon | evening
hour: {one to nine} | ten | eleven | twelve
time: {hour} o'clock | half past {hour} | a quarter past {hour} | a quarter to {hour} | midnight
    | noon | {hour} {teen} | {hour} {minute} | {hour} {minute} {one to nine}
    | {hour} in the {daytime}
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
    for name, choices in re.findall("(.+): (.+)", GRAMMAR.replace("\n    ", " "))
}


def synthetic(
    *,
    root: Path = Path("data"),
    hours: float = 2.0,
    seed: int = 0,
    workers: int = 0,
    again: bool = False,
) -> Path:
    """Synthesize a corpus with eSpeak NG and write train, validation, and test manifests.

    The recordings go to ROOT/synthetic, the manifests to ROOT/manifests/synthetic.

    Args:
        root: Folder of all corpora.
        hours: Hours of training audio. Validation and test get 10 % and 15 % of it in addition.
        seed: Seed of the sentences, voices, and noise.
        workers: Number of parallel processes. 0 starts one for each core.
        again: Synthesize again. Other settings always replace the corpus.

    Raises:
        RecipeError: If a setting is invalid or eSpeak NG does not load.
    """
    with convert_errors(ValueError):
        check_number("hours", hours, gt=0)
        check_integer("seed", seed, ge=0)
        check_integer("workers", workers, ge=0)
    folder, manifests = Path(root, "synthetic"), Path(root, "manifests", "synthetic")
    prompts = plan(hours, seed)
    all_prompts = list(chain.from_iterable(prompts.values()))

    def splits() -> Splits:
        # They describe the audio that is deleted next.
        for path in (manifests / RECORD, *manifests.glob("*.jsonl")):
            path.unlink(missing_ok=True)
        for split in prompts:
            shutil.rmtree(folder / split, ignore_errors=True)
        write_recordings(all_prompts, folder, workers)
        return {
            split: [Recording(folder / p.path, p.text, p.speaker) for p in prompts[split]]
            for split in prompts
        }

    again = again or not all((folder / prompt.path).exists() for prompt in all_prompts)
    options = {"hours": hours, "seed": seed, "plan": _digest(all_prompts)}
    return write_manifests("synthetic", splits, root=Path(root), again=again, **options)


prepare = synthetic  # the name for use as a library


def _digest(prompts: list[Prompt]) -> str:
    """Return a hash of all prompts, which changes with the grammar and the voices."""
    return hashlib.sha256(json.dumps(list(map(asdict, prompts))).encode()).hexdigest()


def plan(hours: float, seed: int) -> dict[str, list[Prompt]]:
    """Return the utterances of each split. They depend only on the arguments and this file."""
    prompts: dict[str, list[Prompt]] = {}
    used: set[str] = set()
    for number, split in enumerate(SHARES):
        prompts[split] = _plan_split(split, number, hours, seed, used)
        used |= {prompt.text for prompt in prompts[split]}
    return prompts


def _plan_split(
    split: str, number: int, hours: float, seed: int, used: set[str]
) -> list[Prompt]:
    """Return the utterances of a split without the long sentences of other splits in `used`."""
    rng = random.Random(f"{split} {seed}")
    count = max(1, round(SHARES[split] * hours * 3600 / SECONDS))
    voices = speakers(split)
    manners = {voice: (rng.uniform(115, 155), rng.uniform(35, 65)) for voice in voices}
    prompts = []
    for i in range(count):
        voice = voices[i * len(voices) // count]
        text = sentence(rng)
        while text in used and len(text.split()) > 3:
            text = sentence(rng)
        speed, pitch = manners[voice]
        prompt = Prompt(
            path=f"{split}/{voice.replace('+', '-')}/{i:06d}.flac",
            text=text,
            speaker=voice,
            speed=round(speed * rng.uniform(0.92, 1.08)),
            pitch=round(pitch + rng.uniform(-6, 6)),
            seed=(seed, number << 32 | i),
        )
        prompts.append(prompt)
    return prompts


def speakers(split: str) -> list[str]:
    """Return the voices of a split as eSpeak NG names them. Accents rotate over the variants."""
    accents, variants = cycle(ACCENTS.split()), VARIANTS[split].split()
    count = ACCENTS_EACH[split]
    return [f"{next(accents)}+{name}" for name in variants for _ in range(count)]


def sentence(rng: random.Random, rule: str = "sentence") -> str:
    """Return a random sentence, or an expansion of another rule of the grammar."""
    text = rng.choice(RULES[rule])
    return re.sub(r"\{([^}]+)\}", lambda slot: sentence(rng, slot[1]), text)


if __name__ == "__main__":
    sys.exit(run_recipe(synthetic))
