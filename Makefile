# make demo trains and tries a model, make test runs the tests. Both create .venv first.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DEMO := outputs/demo

.PHONY: demo webdemo test lint types docs install clean

# Create .venv and install the project in it. Runs again when the dependencies change.
install: $(READY)

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -e '.[dev]'
	touch $(READY)

# Train on the built-in corpus, score the test voices, and transcribe one test utterance.
demo: $(READY)
	$(BIN)/python -m asr.train experiment=demo dir=$(DEMO)
	$(BIN)/python -m asr.evaluate checkpoint=$(DEMO)/model.safetensors dir=$(DEMO)/test
	@sample=$$(find data/synthetic/test -name '*.flac' | sort | head -n 1); echo "asr.transcribe $$sample"; \
		$(BIN)/python -m asr.transcribe $$sample checkpoint=$(DEMO)/model.safetensors

# Write the model of make demo as a page to docs/demo, which make docs then embeds.
webdemo: $(READY)
	$(BIN)/python -m asr.export $(DEMO)/model.safetensors target=web output=docs/demo

# Run all tests and require 95 % coverage.
test: $(READY)
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered --cov-fail-under=95

# Check style and formatting.
lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Check types.
types: $(READY)
	$(BIN)/mypy

# Build the documentation in site/ and fail on any warning, such as a broken link.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Remove what these targets created, except data and models.
clean:
	rm -rf .venv dist site
