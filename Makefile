# `make quickstart` and `make test` each work on a fresh machine: they create .venv themselves.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install quickstart quickstart-segmenter test test-slow lint clean

install: $(STAMP)

$(STAMP): setup.py requirements/tested.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements/tested.txt "torch==$(shell sed -n 's/^torch==//p' requirements/tested.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements/tested.txt -e ".[lite,tensorboard,peers,test]"
	touch $@

quickstart: $(STAMP)
	$(BIN)/python tools/quickstart.py

quickstart-segmenter: $(STAMP)
	$(BIN)/python tools/quickstart.py segmenter

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2

test-slow: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 -m "slow and not gpu" --timeout=1800

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) build *.egg-info
