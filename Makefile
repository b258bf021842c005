# `make quickstart` and `make test` each work on a fresh machine: they create .venv themselves.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

ONEDL_VENV ?= .venv-onedl
ONEDL_BIN := $(ONEDL_VENV)/bin
ONEDL_STAMP := $(ONEDL_VENV)/.installed
ONEDL_DEPENDENCIES := $(ONEDL_VENV)/.dependencies
LITERT_VENV ?= .venv-litert
LITERT_BIN := $(LITERT_VENV)/bin
LITERT_STAMP := $(LITERT_VENV)/.installed
PIP_INSTALL := pip install --quiet --disable-pip-version-check -c requirements/tested.txt
TORCH := "torch==$(shell sed -n 's/^torch==//p' requirements/tested.txt)"

.PHONY: install quickstart quickstart-segmenter test test-slow test-onedl onedl-dependencies litert test-litert drill lint clean browser

install: $(STAMP)

$(STAMP): setup.py requirements/tested.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP_INSTALL) $(TORCH)
	$(BIN)/$(PIP_INSTALL) -e ".[lite,tensorboard,data,video,deploy,peers,templates,web,test]"
	touch $@

# Both providers of the OpenMMLab modules own the same folders, so the fork gets its own environment.
$(ONEDL_DEPENDENCIES): setup.py requirements/tested.txt requirements/onedl.txt
	$(PYTHON) -m venv $(ONEDL_VENV)
	$(ONEDL_BIN)/$(PIP_INSTALL) $(TORCH)
	$(ONEDL_BIN)/$(PIP_INSTALL) -r requirements/onedl.txt pytest pytest-timeout pytest-xdist
	touch $@

$(ONEDL_STAMP): $(ONEDL_DEPENDENCIES)
	$(ONEDL_BIN)/$(PIP_INSTALL) --no-deps -e .
	touch $@

onedl-dependencies: $(ONEDL_DEPENDENCIES)

# LiteRT's converter wants an older typing_extensions than other extras allow.
$(LITERT_STAMP): setup.py requirements/litert.txt
	$(PYTHON) -m venv $(LITERT_VENV)
	$(LITERT_BIN)/pip install --quiet --disable-pip-version-check -c requirements/litert.txt $(TORCH)
	$(LITERT_BIN)/pip install --quiet --disable-pip-version-check -c requirements/litert.txt -e ".[lite,litert,deploy]" pytest pytest-timeout
	touch $@

litert: $(LITERT_STAMP)

quickstart: $(STAMP)
	$(BIN)/python tools/quickstart.py

quickstart-segmenter: $(STAMP)
	$(BIN)/python tools/quickstart.py segmenter

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist worksteal --durations=20

# The tests of the pages look at them with it.
browser:
	@command -v chromium >/dev/null || { \
	  command -v apt-get >/dev/null || { echo 'install chromium: no apt-get here'; exit 1; }; \
	  sudo=$$(test $$(id -u) -eq 0 || echo sudo); \
	  $$sudo apt-get update -qq && $$sudo apt-get install --yes --no-install-recommends -qq chromium; \
	}

test-slow: $(STAMP) browser
	$(BIN)/$(PIP_INSTALL) -e ".[ray]"
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist worksteal -m "slow and not gpu" --timeout=1800

# Minutes: trainings are killed and damaged, resumed, and compared; see docs/reliability.md.
drill: $(STAMP)
	$(BIN)/python tests/drill.py

# Without tests of extras that the fork has nothing to do with.
test-onedl: $(ONEDL_STAMP)
	$(ONEDL_BIN)/python -m mmseg_custom.doctor
	OMP_NUM_THREADS=1 $(ONEDL_BIN)/pytest -q -n 2 --dist worksteal -m "provider and not slow and not gpu" \
	    $(patsubst %,--ignore=tests/%,deployment serving templates web)

test-litert: $(LITERT_STAMP)
	OMP_NUM_THREADS=1 $(LITERT_BIN)/pytest -q -m "not gpu" --timeout=1800 tests/deployment/test_litert.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) $(ONEDL_VENV) $(LITERT_VENV) build *.egg-info
