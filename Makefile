# The commands of the project; `make` lists them.  For GNU make 3.81 or later.
#
# Everything is installed into .venv, from requirements.lock; what is made goes to _build.

.DEFAULT_GOAL := help
.NOTPARALLEL:

VENV := .venv
SCRIPTS := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
PYTHON := $(VENV)/$(SCRIPTS)/python
JOBS ?= logical
export JOBS
# The output is UTF-8 on every system.
export PYTHONUTF8 := 1
PORT ?= 8000

# Chapters that `make run` and `make verify` are to take, by name; all of the book when empty.
NOTEBOOKS ?=
BOOK_NOTEBOOKS := $(wildcard $(shell sed -n 's/^.*file: *\(chapters\/[a-z_0-9]*\) *$$/\1.ipynb/p' _toc.yml))

PACKAGE := $(wildcard softmax_ref/*.py softmax_ref/*/*.py softmax_ref/*/*.mplstyle softmax_ref/*/static/*)
CHECKS := $(PACKAGE) claims.toml tests/book/strict.py tests/book/notebooks.py
PAGES := $(BOOK_NOTEBOOKS) $(CHECKS) $(wildcard _config.yml _toc.yml references.bib \
	chapters/*.md _ext/*.py _static/* _templates/* _templates/*/*)
STRICT := $(PYTHON) -m pytest -p tests.book.strict --strict-notebooks -q -n $(JOBS) --dist loadfile

# $(call stage,name,command): runs a command, prints what is going on and how long it took.
define stage
	@echo "== $(1)"; start=$$(date +%s); $(2); status=$$?; \
	echo "== $(1): $$(( $$(date +%s) - start )) s"; exit $$status
endef

# Sets $$python to a Python that can make the environment, or says what to install.
define find_python
	python=; for candidate in $(PYTHON3) python3 python3.13 python3.12 python3.11 python; do \
	  if $$candidate -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	    >/dev/null 2>&1; then python=$$candidate; break; fi; done; \
	if test -z "$$python"; then \
	  echo "There is no Python 3.11 or later with the module venv. Install it:"; \
	  echo "  Debian, Ubuntu:  apt install python3 python3-venv"; \
	  echo "  macOS:           brew install python"; \
	  echo "  elsewhere:       python.org/downloads"; \
	  echo "or say where it is:  make PYTHON3=/path/to/python3.12 ..."; exit 1; fi
endef

.PHONY: book test run verify portable serve test-faking stress bench lint audit screenshots lock clean help

book: _build/verified _build/html/.built ## build the book; first check every notebook that changed
	@echo "The book is in _build/html/index.html; \`make serve\` shows it."

test: $(VENV)/installed ## run every test, the strict run of the notebooks and the linters included
	@MAKE="$(MAKE)" $(PYTHON) -m tests.run_all

run: $(VENV)/installed ## execute notebooks in place: make run [NOTEBOOKS="softmax loss"]
	@$(PYTHON) -m tests.book.notebooks run $(NOTEBOOKS)

verify: $(VENV)/installed ## run notebooks and compare every output: make verify [NOTEBOOKS=...]
	$(call stage,strict run,$(STRICT) $(if $(NOTEBOOKS),$(NOTEBOOKS:%=chapters/%.ipynb),$(BOOK_NOTEBOOKS)))

portable: $(VENV)/installed ## the same on the oldest kind of x86 processor: last digits must not show
	$(call stage,strict run without vector units,NPY_DISABLE_CPU_FEATURES="AVX512F AVX512CD AVX512_SKX \
	  AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR AVX2 FMA3 X86_V3 X86_V4" OPENBLAS_CORETYPE=Nehalem \
	  $(STRICT) $(BOOK_NOTEBOOKS))

serve: book ## show the book at a local address: make serve [PORT=8000]
	@echo "The book is at http://localhost:$(PORT)/ (stop with Ctrl+C)"
	@$(PYTHON) -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html >/dev/null 2>&1

test-faking: $(VENV)/installed ## spoil copies of the notebooks and the package; each must be noticed
	$(call stage,test-faking,$(PYTHON) -m pytest -q -rA -n $(JOBS) tests/book/test_faking.py)

bench: $(VENV)/installed ## measure speed against other implementations, accuracy beside it
	@$(PYTHON) -m benchmarks

stress: $(VENV)/installed ## judge the package on a million hard inputs a function
	@$(PYTHON) -m benchmarks.stress

audit: book ## Lighthouse and axe on every page (fetches both with npm, needs Node.js and Chromium)
	@$(PYTHON) -m tests.book.audit

screenshots: book ## take the two screenshots of the README (needs Chromium)
	@$(PYTHON) -m tests.book.browser screenshots

lint: $(VENV)/installed ## check style (ruff) and types (mypy)
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m mypy

lock: ## choose all versions anew from pyproject.toml, into requirements.lock
	@$(find_python); test -d _build/uv || $$python -m venv _build/uv
	@_build/uv/$(SCRIPTS)/python -m pip install --quiet uv
	@printf 'hatchling\neditables\n' | _build/uv/$(SCRIPTS)/uv pip compile pyproject.toml - \
	  --extra verify --extra book --extra test --universal --python-version 3.11 \
	  --fork-strategy fewest --upgrade --no-header --no-annotate --quiet -o requirements.lock

clean: ## remove what was made; the environment .venv stays
	rm -rf _build .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find softmax_ref tests benchmarks _ext -name __pycache__ -prune -exec rm -rf {} +

help: ## this list
	@echo "make ...  (make book and make test are the two to know)"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1 | \2/p' Makefile | \
	  while IFS='|' read -r name text; do printf '%-15s%s\n' "$$name" "$$text"; done

$(VENV)/installed: requirements.lock
	@$(find_python); $(PYTHON) -c '' >/dev/null 2>&1 || $$python -m venv --clear $(VENV)
	$(call stage,install,$(PYTHON) -m pip install --quiet --disable-pip-version-check \
	  -r requirements.lock && $(PYTHON) -m pip install --quiet --disable-pip-version-check \
	  --no-deps --no-build-isolation -e .)
	@touch $@

# A notebook that changed is checked; when the package or the checks changed, all are.  The time
# stamp is that of the start: what was edited meanwhile is checked next time.
_build/verified: $(VENV)/installed $(BOOK_NOTEBOOKS) $(CHECKS)
	@mkdir -p _build && touch _build/verifying
	$(call stage,strict run of the notebooks,$(if $(BOOK_NOTEBOOKS),$(STRICT) $(if \
	  $(filter-out %.ipynb,$?),$(BOOK_NOTEBOOKS),$(filter %.ipynb,$?)),echo "no notebooks yet"))
	@mv _build/verifying $@

# After a build that failed or was broken off, Sphinx would not repeat the warnings of pages that it
# has read already: such a build starts anew.
_build/html/.built: $(VENV)/installed $(PAGES)
	@test -f $@ || rm -rf _build/.doctrees
	@rm -f $@
	$(call stage,build,$(VENV)/$(SCRIPTS)/jupyter-book build . -n -W --keep-going -q && \
	  $(PYTHON) -m tests.book.notebooks html)
	@touch $@
