"""Recordings of many texts in many voices, synthesized with eSpeak NG in parallel processes."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

from asr import audio
from asr.errors import AsrError
from asr.files import atomic_write
from recipes import espeak
from recipes.console import track
from recipes.errors import RecipeError

BATCH = 150  # utterances for each process


@dataclass(frozen=True)
class Prompt:
    """An utterance to synthesize.

    Attributes:
        path: Path of the recording, relative to the corpus.
        text: Words to speak.
        speaker: Voice of eSpeak NG.
        speed: Words per minute.
        pitch: Pitch from 0 to 99.
        seed: Seed of the pauses, the noise, and the levels.
    """

    path: str
    text: str
    speaker: str
    speed: int
    pitch: int
    seed: tuple[int, int]


def write_recording(prompt: Prompt, folder: Path, *, noise: bool = True) -> None:
    """Synthesize an utterance and write it below `folder` as 16-bit FLAC at 16 kHz.

    The recording has pauses of 0.05 to 0.4 s before and after the speech, a peak 1 to 15 dB below
    full scale, and, with `noise`, white or pink noise 15 to 35 dB below the speech.
    """
    samples, rate = espeak.synthesize(
        prompt.text, prompt.speaker, speed=prompt.speed, pitch=prompt.pitch
    )
    speech = audio.resample(samples.astype(np.float32) / 32768, rate, audio.SAMPLE_RATE)
    rng = np.random.default_rng(prompt.seed)
    before, after = (int(s * audio.SAMPLE_RATE) for s in rng.uniform(0.05, 0.4, 2))
    waveform = np.pad(speech, (before, after))
    if noise:
        unit = _noise(len(waveform), rng, pink=rng.random() < 0.5)
        waveform += unit * np.sqrt(np.mean(speech**2)) * 10 ** (-rng.uniform(15, 35) / 20)
    waveform *= 10 ** (-rng.uniform(1, 15) / 20) / np.abs(waveform).max()
    pcm = np.round(waveform * 32767).astype(np.int16)
    with atomic_write(folder / prompt.path) as partial:
        soundfile.write(partial, pcm, audio.SAMPLE_RATE, subtype="PCM_16", format="FLAC")


def _noise(length: int, rng: np.random.Generator, *, pink: bool) -> np.ndarray:
    """Return white or pink noise (S,) of unit power."""
    noise = rng.standard_normal(length)
    if pink:
        spectrum = np.fft.rfft(noise)
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
        noise = np.fft.irfft(spectrum, length)
    return noise / np.sqrt(np.mean(noise**2))


def write_recordings(
    prompts: list[Prompt], folder: Path, workers: int = 0, *, noise: bool = True
) -> None:
    """Write the recordings of all prompts below a folder, except those of complete batches.

    Args:
        prompts: Utterances to synthesize.
        folder: Folder of the recordings.
        workers: Number of parallel processes. 0 starts one for each core.
        noise: Whether to add noise.

    Raises:
        RecipeError: If eSpeak NG does not load or a file cannot be written.
    """
    batches = [prompts[i : i + BATCH] for i in range(0, len(prompts), BATCH)]
    batches = [b for b in batches if not all((folder / p.path).exists() for p in b)]
    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)
    try:
        results = pool.map(lambda batch: _synthesize_batch(batch, folder, noise), batches)
        list(track(results, "synthesizing", len(batches)))
    finally:
        pool.shutdown(cancel_futures=True)


def _synthesize_batch(prompts: list[Prompt], folder: Path, noise: bool) -> None:
    """Synthesize utterances in a new process, because eSpeak NG keeps its state between texts.

    `multiprocessing` would import the main module of the caller again, with all of training.
    """
    job = {"folder": str(folder), "noise": noise, "prompts": list(map(asdict, prompts))}
    process = subprocess.run(
        [sys.executable, "-c", "from recipes.synthesis import _batch_main; _batch_main()"],
        input=json.dumps(job),
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if process.returncode:
        lines = process.stderr.strip().splitlines() or [f"exit code {process.returncode}"]
        raise RecipeError(f"Speech synthesis failed: {lines[-1]}")


def _batch_main() -> None:
    job = json.load(sys.stdin)
    try:
        for prompt in job["prompts"]:
            write_recording(Prompt(**prompt), Path(job["folder"]), noise=job["noise"])
    except (AsrError, OSError) as error:
        sys.exit(str(error))
