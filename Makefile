# Two commands do everything on a fresh machine: make demo, make test.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DEMO := outputs/demo

.PHONY: demo test lint types install clean

install: $(READY)

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -e '.[dev]'
	touch $(READY)

# Train on the built-in corpus, score voices never heard in training, and read what one of them said.
demo: $(READY)
	$(BIN)/python -m asr.train experiment=demo dir=$(DEMO)
	$(BIN)/python -m asr.evaluate checkpoint=$(DEMO)/model.safetensors dir=$(DEMO)/test
	@sample=$$(find data/synthetic/test -name '*.flac' | sort | head -n 1); echo "asr.transcribe $$sample"; \
		$(BIN)/python -m asr.transcribe $$sample checkpoint=$(DEMO)/model.safetensors

test: $(READY)
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered --cov-fail-under=90

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

clean:
	rm -rf .venv dist
