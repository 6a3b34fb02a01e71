"""Export trained models, to pass on or to run without torch.

Writes an ONNX file beside each model: samples in, log-probabilities out, tokens in the metadata.

  weights=int8      8 bits for each weight, for a file of a quarter of the size (float32)
  target=web        a folder of static files instead: a page that runs the model in the browser
        =half       a model file in half precision instead, which has half the size
  runtime=FOLDER    folder with the files of onnxruntime-web, for target=web without a network
  output=PATH       file or folder to write; for one model
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from asr.config.inputs import run_with_files
from asr.errors import AsrError, ConfigError, ModelError

SUFFIXES = {"onnx": ".onnx", "web": ".web", "half": ".half.safetensors"}


def export(files: Sequence[str], overrides: Sequence[str]) -> Iterator[AsrError]:
    """Write the ONNX file of each model, print its path, and yield the errors of the others.

    Raises:
        ConfigError: If a setting is wrong or there is no model.
    """
    from asr.config.app import compose

    cfg = compose("export", overrides)
    if not files:
        raise ConfigError("no model; pass the model.safetensors of a training")
    if cfg.output and len(files) > 1:
        raise ConfigError("output is for one model, so pass one")
    int8 = cfg.weights == "int8"
    if int8 and cfg.target == "half":
        raise ConfigError("weights=int8 is for target=onnx and target=web")
    for file in map(Path, files):
        path = Path(cfg.output or file.with_suffix(".int8" * int8 + SUFFIXES[cfg.target]))
        if path.resolve() == file.resolve():
            raise ConfigError(
                f"output={path} is the model itself; pass another output=FILE"
            )
        try:
            size = _write(file, path, cfg.target, int8, cfg.runtime and Path(cfg.runtime))
        except ModelError as error:
            yield error if str(file) in str(error) else ModelError(f"{file}: {error}")
            continue
        print(f"{path}: {size / 1e6:.1f} MB")


def _write(file: Path, path: Path, target: str, int8: bool, runtime: Path | None) -> int:
    """Write a model to `path` and return its size in bytes."""
    from asr.files import atomic_write
    from asr.nn.checkpoint import read_checkpoint, write_checkpoint

    header, weights = read_checkpoint(file)
    if target == "half":
        write_checkpoint(path, header, weights, half=True)
        return path.stat().st_size
    try:
        from asr.inference.browser import write_page
        from asr.nn.onnx_export import build_onnx
    except ImportError:
        raise ConfigError("the package onnx is missing; pip install 'asr[onnx]'") from None
    model = build_onnx(header, weights, int8=int8)
    if target == "web":
        write_page(model, path, runtime)
    else:
        with atomic_write(path) as temporary:
            temporary.write_bytes(model.SerializeToString())
    return model.ByteSize()


def main() -> None:
    """Run the command line."""
    run_with_files("asr.export", str(__doc__), export)


if __name__ == "__main__":
    main()
