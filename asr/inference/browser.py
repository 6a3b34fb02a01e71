"""Write a folder of static files that runs a model in the browser."""

import base64
import hashlib
import json
import math
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx

from asr.audio import SAMPLE_RATE, speech
from asr.errors import ConfigError
from asr.files import atomic_write
from asr.inference.transcriber import BLOCK, MAX_LIVE_SECONDS
from asr.inference.windows import CONTEXT, WINDOW

RUNTIME = "onnxruntime-web@1.30.0"  # package of the npm registry, MIT license
RUNTIME_SHA512 = (  # as the npm registry publishes it
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
CONFIG, MODEL = "config.json", "model.onnx"
README = """\
This page turns speech into text in the browser. Serve this folder as static files, for example:

    python -m http.server --directory {name}

and open http://localhost:8000. Audio never leaves the browser. Recording needs localhost or https.

model.onnx was written by asr.export. {runtime} is the work of Microsoft under the MIT license.
"""


def write_page(model: onnx.ModelProto, folder: Path, runtime: Path | None = None) -> None:
    """Write the page, a model of `build_onnx`, and ONNX Runtime to a folder.

    Args:
        model: The model.
        folder: Folder to write. It may have an earlier page of this function, or other files.
        runtime: Folder with `RUNTIME_FILES`. None downloads them with npm, which keeps a copy.

    Raises:
        ConfigError: If the runtime is not available, or the folder has another page.
    """
    is_own = (folder / CONFIG).is_file() and (folder / MODEL).is_file()
    page = files("asr").joinpath("web")
    contents = {file.name: file.read_bytes() for file in page.iterdir()}
    existing = [folder / name for name in contents if (folder / name).exists()]
    if existing and not is_own:
        raise ConfigError(f"{existing[0]} exists; pass another output=FOLDER")
    contents |= _read_runtime(runtime) if runtime else download_runtime()
    contents[MODEL] = model.SerializeToString()
    contents[CONFIG] = json.dumps(_describe(model, contents)).encode()
    text = README.format(name=folder.name, runtime=RUNTIME)
    contents["README.txt"] = text.encode()
    for name, content in contents.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_bytes(content)


def _describe(model: onnx.ModelProto, contents: Mapping[str, bytes]) -> dict[str, Any]:
    """Return what the page has to know: the model's metadata, windows, and sizes to download."""
    metadata = json.loads(next(p.value for p in model.metadata_props if p.key == "asr"))
    stride = metadata["hop_length"] * metadata["subsampling_factor"]  # samples in a frame
    details = {
        "stride": stride,
        "block_seconds": BLOCK,
        "window_frames": math.ceil(WINDOW * SAMPLE_RATE / stride),
        "context_frames": math.ceil(CONTEXT * SAMPLE_RATE / stride),
        "max_hops": round(speech.MAX_SECONDS * SAMPLE_RATE / speech.HOP),
        "max_live_hops": round(MAX_LIVE_SECONDS * SAMPLE_RATE / speech.HOP),
        "speech": _describe_pauses(),
    }
    sizes = {name: len(contents[name]) for name in (MODEL, RUNTIME_FILES[1])}
    return {"engine": "onnx", "sizes": sizes, "model": metadata | details}


def _describe_pauses() -> dict[str, float]:
    """Return the constants of `asr.audio.speech`, with lengths in hops."""
    numbers = {
        name.lower(): value
        for name, value in vars(speech).items()
        if name.isupper() and isinstance(value, int | float)
    }
    lengths = ("min_pause", "padding", "history")
    hops = {name: round(numbers[name] * SAMPLE_RATE / speech.HOP) for name in lengths}
    return numbers | hops


def _read_runtime(folder: Path) -> dict[str, bytes]:
    """Return the files of ONNX Runtime.

    Raises:
        ConfigError: If one is missing.
    """
    for name in RUNTIME_FILES:
        if not (folder / name).is_file():
            raise ConfigError(
                f"runtime={folder} has no {name}; it is in dist/ of the npm package {RUNTIME}"
            )
    return {name: (folder / name).read_bytes() for name in RUNTIME_FILES}


def download_runtime() -> dict[str, bytes]:
    """Return the files of ONNX Runtime from the npm registry or npm's cache.

    Raises:
        ConfigError: If npm is missing, the registry does not answer, or the package is damaged.
    """
    fix = f"Or pass runtime=FOLDER with {' and '.join(RUNTIME_FILES)} of {RUNTIME}."
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigError(f"{RUNTIME} is downloaded with npm; install Node.js. {fix}")
    with TemporaryDirectory() as scratch:
        command = [npm, "pack", RUNTIME, "--prefer-offline", "--silent"]
        finished = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
        if finished.returncode:
            reason = next(iter(finished.stderr.splitlines()), "no reason")
            raise ConfigError(f"npm cannot download {RUNTIME}: {reason}. {fix}")
        (archive,) = Path(scratch).glob("*.tgz")
        digest = hashlib.sha512(archive.read_bytes()).digest()
        if digest != base64.b64decode(RUNTIME_SHA512):
            raise ConfigError(f"{RUNTIME} has another checksum than expected. {fix}")
        with tarfile.open(archive) as package:
            for name in RUNTIME_FILES:
                package.extract(f"package/dist/{name}", scratch, filter="data")
        return _read_runtime(Path(scratch, "package", "dist"))
