# Train on the built-in corpus, score the model, and transcribe a sample:
#
#   docker build -t asr .
#   docker run --rm --shm-size=2g asr
#
# To serve a model, see docs/how-to/serve.md.
#
# torch for Linux on x86-64 contains CUDA, so the same image uses a GPU with --gpus all. To start from an image of
# NVIDIA instead, pass one with apt:
#
#   docker build -t asr --build-arg BASE=nvidia/cuda:13.0.1-base-ubuntu24.04 .
ARG BASE=ubuntu:24.04
FROM ${BASE}

RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates make python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home asr \
    && install --directory --owner=asr /home/asr/app /home/asr/app/data /home/asr/app/outputs

USER asr
WORKDIR /home/asr/app

# The packages change less often than the code, so Docker keeps their layer.
COPY --chown=asr pyproject.toml README.md LICENSE ./
RUN python3 -m venv .venv \
    && mkdir asr recipes conf \
    && .venv/bin/pip install --no-cache-dir --editable '.[serve,onnx]'

COPY --chown=asr . .
RUN .venv/bin/pip install --no-cache-dir --no-deps --editable . \
    && touch .venv/.ready

ENV PATH="/home/asr/app/.venv/bin:${PATH}"
CMD ["make", "demo"]
