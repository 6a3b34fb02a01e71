"""Serve a trained model over HTTP: `python -m asr.serve checkpoint=model.safetensors port=8000`.

The API is OpenAI's: `POST /v1/audio/transcriptions`. Live audio goes to the WebSocket `/v1/stream`,
and a page at `/` transcribes in the browser. Clients must send the key in the environment variable
ASR_API_KEY if it is set. SIGTERM finishes the accepted requests.
"""

import logging
import os
import sys

from omegaconf import DictConfig

from asr.config.app import run
from asr.config.build import instantiate
from asr.errors import ConfigError

KEY = "ASR_API_KEY"


def serve(cfg: DictConfig) -> None:
    """Load the model and serve it until the process is stopped.

    Raises:
        ConfigError: If a setting is wrong, the address is in use, or a package is missing.
        ModelError: If the checkpoint is not a model.
    """
    try:
        from asr.server.app import create_app
        from asr.server.limits import Limits
        from asr.server.metrics import Metrics
        from asr.server.run import bind, is_public
        from asr.server.run import run as run_server
    except ImportError as error:
        reason = f"the package {error.name} is missing; pip install 'asr[serve]'"
        raise ConfigError(reason) from None
    from asr.inference.model import load_model
    from asr.inference.transcriber import Transcriber
    from asr.server.service import Service

    key = os.environ.get(KEY)
    if key is not None and not (key and key.isascii()):
        raise ConfigError(f"{KEY} must be ASCII characters; unset it to need no key")
    limits = Limits(**cfg.limits)
    origins = [cfg.cors_origins] if isinstance(cfg.cors_origins, str) else cfg.cors_origins
    listener = bind(cfg.host, cfg.port)
    if key is None and is_public(listener):
        warning = (
            f"other machines can use this server without a key; set {KEY} to require one"
        )
        print(f"asr.serve: {warning}", file=sys.stderr)
    # the answers list the faults of recordings; nothing about them is logged
    logging.getLogger("asr.audio").setLevel(logging.ERROR)
    decoder = instantiate("decoder", cfg.decoder)
    model = load_model(cfg.checkpoint, device=cfg.device, engine=cfg.engine)
    service = Service(Transcriber(model, decoder, vad=cfg.vad), limits, Metrics())
    app = create_app(service, name=cfg.name, key=key, cors_origins=origins)
    run_server(app, listener, limits)


def main() -> None:
    """Run the command line."""
    run("serve", serve)


if __name__ == "__main__":
    main()
