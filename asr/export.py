"""Export trained models, to run without torch.

Writes one ONNX file beside each model: samples in, log-probabilities out, features included. Its
metadata has the tokens.

  weights=int8      8 bits for each weight, for a file of a quarter of the size (float32)
  target=web        a folder of static files instead: a page that runs the model in the browser
  runtime=FOLDER    folder with the files of onnxruntime-web, for target=web without a network
  output=PATH       file or folder to write; for one model
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
        raise ConfigError("output is for one model, so pass one")
    try:
        from asr.inference.browser import write_page
        from asr.nn.onnx_export import build_onnx
    except ImportError:
        raise ConfigError("the package onnx is missing; pip install 'asr[onnx]'") from None
    int8 = cfg.weights == "int8"
    suffix = ".web" if cfg.target == "web" else ".onnx"
    for file in map(Path, files):
        path = Path(cfg.output or file.with_suffix(f".int8{suffix}" if int8 else suffix))
        try:
            model = build_onnx(*read_checkpoint(file), int8=int8)
        except AsrError as error:
            yield error
            continue
        if cfg.target == "web":
            write_page(model, path, cfg.runtime and Path(cfg.runtime))
        else:
            with atomic_write(path) as temporary:
                temporary.write_bytes(model.SerializeToString())
        print(f"{path}: {model.ByteSize() / 1e6:.1f} MB")


def main() -> None:
    """Run the command line."""
    run_with_files("asr.export", str(__doc__), export)


if __name__ == "__main__":
    main()
