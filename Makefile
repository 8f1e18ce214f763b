# eecore: `make` prints what there is. Needs Python 3.11 or newer and make; everything else is installed into .venv.

PYTHON ?= python3
PROFILE ?= quick
NB ?=
ARGS ?=
OWN ?=
PORT ?= 8000
PY := .venv/bin/python
STAMP := .venv/.installed
ifneq ($(OWN),)
export EECORE_OWN := $(OWN)
endif

.DEFAULT_GOAL := help
.PHONY: help book pdf archive test test-core notebook bench serve lint clean clean-all
.SUFFIXES:

help:
	@echo 'make book      execute every notebook and render the book (about 20 minutes the first time)'
	@echo 'make pdf       print the whole book into one PDF (needs Chromium)'
	@echo 'make archive   one zip with the book, executed notebooks, code, records, and where the data come from'
	@echo 'make test      run all tests'
	@echo 'make test-core run the tests of the library alone, without the slow ones'
	@echo 'make notebook  execute one notebook with your parameters and show where it is, for instance'
	@echo '               make notebook NB=02_regimes ARGS="-p datasets [digits] -p seeds [0,1]"'
	@echo '               make notebook NB=02_regimes OWN=own.py ARGS="-p regimes [joint,mixed,my_regime]"'
	@echo '               (own.py registers my_regime)'
	@echo 'make bench     measure speed against goals (15 minutes), or a part: make bench ARGS="--only rank"'
	@echo 'make serve     show the rendered book on http://localhost:$(PORT)/'
	@echo 'make lint      check style and types'
	@echo 'make clean     remove rendered books and executed notebooks; trained runs (runs/) stay'
	@echo 'make clean-all remove also the trained runs and the environment'
	@echo ''
	@echo 'PROFILE=smoke|quick|paper (now $(PROFILE)) sets the size: seconds for tests, minutes on a laptop, the paper on a GPU.'
	@echo 'PYTHON=... (now $(PYTHON)) is the Python that makes the environment.'

$(STAMP): pyproject.toml book/pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo '$(PYTHON) was not found: install Python 3.11 or newer, or say make PYTHON=/path/to/python'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo '$(PYTHON) is older than 3.11: install a newer Python, or say make PYTHON=/path/to/python'; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo '$(PYTHON) cannot make environments: install its venv package (Debian: apt install python3-venv)'; exit 1; }
	@echo 'Installing into .venv (two minutes or so) ...'
	@$(PYTHON) -m venv .venv
	@$(PY) -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev,cluster]' -e ./book
	@touch $(STAMP)

book: $(STAMP)
	@$(PY) book/build.py --profile $(PROFILE)

notebook: export EECORE_ARGS = $(ARGS)
notebook: $(STAMP)
	@test -n '$(NB)' || { echo 'Say which: make notebook NB=NAME, one of:'; ls notebooks/*.ipynb | sed 's/.*\//  /; s/\.ipynb//'; exit 1; }
	@$(PY) book/build.py --profile $(PROFILE) --only '$(NB)'

pdf: $(STAMP)
	@$(PY) book/pdf.py --profile $(PROFILE)

archive: $(STAMP)
	@$(PY) book/archive.py --profile $(PROFILE)

test: $(STAMP)
	@$(PY) -m pytest $(ARGS)

test-core: $(STAMP)
	@$(PY) -m pytest --core -m 'not slow and not browser' $(ARGS)

bench: $(STAMP)
	@$(PY) -m bench.run $(ARGS)

serve: $(STAMP)
	@test -d build/$(PROFILE)/_build/html || { echo 'There is no book yet: make book PROFILE=$(PROFILE)'; exit 1; }
	@$(PY) -m http.server $(PORT) --bind 127.0.0.1 --directory build/$(PROFILE)/_build/html

lint: $(STAMP)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports --no-cache --no-logo

clean:
	rm -rf build .pytest_cache .ruff_cache .mypy_cache .hypothesis

clean-all: clean
	rm -rf runs .venv eecore.egg-info
