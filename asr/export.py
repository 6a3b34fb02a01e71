"""Export trained models to ONNX, to run without torch.

Writes one ONNX file beside each model: samples in, log-probabilities out, features included. Its
metadata has the tokens.

  weights=int8      8 bits for each weight, for a file of a quarter of the size (float32)
  output=PATH       file to write; for one model
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from asr.config.inputs import run_with_files
from asr.errors import AsrError, ConfigError


def export(files: Sequence[str], overrides: Sequence[str]) -> Iterator[AsrError]:
    """Write the ONNX file of each model, print its path, and yield the errors of the others.

    Raises:
        ConfigError: If a setting is wrong or there is no model.
    """
    from asr.config.app import compose
    from asr.files import atomic_write
    from asr.nn.checkpoint import read_checkpoint

    cfg = compose("export", overrides)
    if not files:
        raise ConfigError("no model; pass the model.safetensors of a training")
    if cfg.output and len(files) > 1:
        raise ConfigError("output is one file, so pass one model")
    try:
        from asr.nn.onnx_export import build_onnx
    except ImportError:
        raise ConfigError("the package onnx is missing; pip install 'asr[onnx]'") from None
    int8 = cfg.weights == "int8"
    suffix = ".int8.onnx" if int8 else ".onnx"
    for file in map(Path, files):
        path = Path(cfg.output) if cfg.output else file.with_suffix(suffix)
        try:
            model = build_onnx(*read_checkpoint(file), int8=int8)
        except AsrError as error:
            yield error
            continue
        with atomic_write(path) as temporary:
            temporary.write_bytes(model.SerializeToString())
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    """Run the command line."""
    run_with_files("asr.export", str(__doc__), export)


if __name__ == "__main__":
    main()
