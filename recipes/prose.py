"""English text as it is spoken, and sentences of books to synthesize."""

import hashlib
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from asr.text import Tokenizer, normalize
from recipes.lm import read_lines
from recipes.synthesis import Prompt
from recipes.synthetic import ACCENTS, VARIANTS

WORDS = range(3, 21)  # words of a synthesized sentence
SPEED, PITCH = (
    (130, 200),
    (20, 80),
)  # ranges: words per minute, eSpeak NG's scale of 0 to 99
SECONDS = 50  # of speech at one word per minute; eSpeak NG is faster than its nominal speed
PAUSES = 0.45  # mean of the pauses before and after a synthesized sentence in seconds
# The training voices of the built-in corpus, each with all accents
VOICES = [
    f"{accent}+{name}" for name in VARIANTS["train"].split() for accent in ACCENTS.split()
]

_SPOKEN = {"mr": "mister", "mrs": "missus", "dr": "doctor", "etc": "et cetera"}
_ABBREVIATION = re.compile(rf"\b({'|'.join(_SPOKEN)})\b\.?", re.IGNORECASE)
# Abbreviations that are spoken in several ways, numbers, addresses, and marks
_UNCLEAR = re.compile(
    r"\b(?:St|Hon|Rev|Capt|Col|Gen|Lt|Sgt|Prof|Esq|Jr|Sr|Messrs|Mme|Mlle|Ms|Mt|Vol|Ch|Fig|Co|Ltd"
    r"|Inc|Jan|Feb|Apr|Aug|Sept|Oct|Nov|Dec|vs|viz|cf)\b\.?"
    r"|\b(?:i\.e|e\.g)\b|\S*[a-z]{2}\.[a-z]\S*|\S*\d\S*|[\[\]{}<>*_#=+/\\|^~]"
)
_ACRONYM = re.compile(r"\b[A-Z]{2,}")  # or a Roman numeral, or emphasis
# An initial does not end a sentence.
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\W[A-Z]\.)[\"'”’)]*\s+")
_TOKENS = frozenset(Tokenizer.english().tokens)


def spell(text: str) -> str:
    """Return a text with Mr., Mrs., Dr., and etc. as words."""
    return _ABBREVIATION.sub(lambda match: _SPOKEN[match[1].lower()], text)


def find_unclear(text: str) -> str:
    """Return the first token whose pronunciation is unclear, or "".

    It is a number, an abbreviation, an address, or a letter or symbol outside of a to z. Capitals
    are abbreviations unless the whole text is in capitals.
    """
    match = _UNCLEAR.search(text)
    if not match and text.upper() != text:
        match = _ACRONYM.search(text)
    if match:
        return match[0]
    return next((c for c in normalize(text) if c not in _TOKENS), "")


def read_sentences(paths: Iterable[str | Path]) -> list[str]:
    """Return the distinct sentences of books, as they are spoken, in order.

    Sentences with an unclear token are left out, and so are repeated ones.

    Args:
        paths: Texts with one paragraph per line (perhaps .gz).

    Raises:
        RecipeError: If a text cannot be read.
    """
    sentences: dict[str, str] = {}
    for path in map(Path, paths):
        for paragraph in read_lines(path):
            for sentence in _SENTENCE_END.split(spell(paragraph)):
                text = normalize(sentence)
                if text and not find_unclear(sentence):
                    sentences.setdefault(text, sentence.strip())
    return list(sentences.values())


def plan(sentences: Sequence[str], hours: float, seed: int) -> list[Prompt]:
    """Return about `hours` of distinct sentences with a random voice, speed, and pitch each.

    More hours only add utterances. The name of a recording contains a hash of its prompt.
    """
    rng = random.Random(f"prose {seed}")
    prompts: list[Prompt] = []
    seconds = 0.0
    for text in rng.sample(sentences, len(sentences)):
        words = len(normalize(text).split())
        if seconds >= hours * 3600:
            break
        if words in WORDS:
            voice, speed, pitch = (
                rng.choice(VOICES),
                rng.randint(*SPEED),
                rng.randint(*PITCH),
            )
            prompt = Prompt("", text, voice, speed, pitch, (seed, len(prompts)))
            digest = hashlib.sha256(repr(prompt).encode()).hexdigest()[:12]
            path = f"{voice.replace('+', '-')}/{len(prompts):06d}-{digest}.flac"
            prompts.append(replace(prompt, path=path))
            seconds += SECONDS * words / speed + PAUSES
    return prompts
