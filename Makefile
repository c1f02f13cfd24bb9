# The only commands. CI calls the same ones.
#   make env     create .venv and build the engine        make check   linters, types, formatting, sanitizers
#   make demo    env, then the main job on sample data     make bench   benchmarks beside the peers
#   make test    demo, then the whole test suite           make docs    build the documentation site
#   make quick   what to run while you work: under 90 s    make wheel   the wheel and the source distribution
#   make bare    the wheel in environments of its own      make test-lowest   the oldest packages we allow
#   make test-python PYTHON=python3.13   another Python    make clang   the engine by clang
#   make kills   1,100 SIGKILLs of writers and services
#   make fuzz    damaged index files and bundles, a minute make sanitize-python   the bindings under sanitizers
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
NATIVE := $(shell find native/core native/bindings -type f) CMakeLists.txt
CPP := $(shell find native -name '*.cpp' -o -name '*.h')
CMAKE := $(CURDIR)/$(BIN)/cmake -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja -DSHORTLIST_PYTHON=OFF \
  -DSHORTLIST_TESTS=ON -DSHORTLIST_WERROR=ON

.PHONY: env demo test check bench docs native-test sanitize tsan sanitize-python fuzz neon clean \
  kills quick wheel bare test-lowest test-python clang
.DELETE_ON_ERROR:

env: .venv/.built

.venv/.created: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Shortlist needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	@echo "Creating the environment in .venv"
	@$(PYTHON) -m venv .venv
	@$(PIP) install --upgrade pip
	@$(PIP) install --group build
	@touch $@

.venv/.built: .venv/.created $(NATIVE)
	@echo "Building the engine and installing Shortlist with what it needs"
	@$(PIP) install --no-build-isolation --editable '.[all]'
	@touch $@

# The three Keras backends, the test tools and the linters.
.venv/.tested: .venv/.built
	@echo "Installing the test tools, TensorFlow and PyTorch"
	@$(PIP) install --group dev
	@touch $@

demo: env
	@$(BIN)/shortlist demo

test: demo .venv/.tested
	tools/test

native-test: .venv/.tested
	@$(CMAKE) -S . -B build/native -DCMAKE_BUILD_TYPE=Release >/dev/null
	@$(BIN)/cmake --build build/native
	@$(BIN)/ctest -j 2 --test-dir build/native --output-on-failure

check: .venv/.tested sanitize
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CPP)

# The native tests under the address and undefined-behaviour sanitizers, and under the thread sanitizer
# (there without those of the kernels, which start no thread and would take four minutes).
sanitize tsan: .venv/.tested
	@$(CMAKE) -S . -B build/$@ -DCMAKE_BUILD_TYPE=RelWithDebInfo \
	  -DSHORTLIST_SANITIZE=$(if $(filter tsan,$@),thread,address,undefined) >/dev/null
	@$(BIN)/cmake --build build/$@
	@$(BIN)/ctest -j 2 --test-dir build/$@ --output-on-failure $(if $(filter tsan,$@),--exclude-regex '^kernels$$')

# The Python tests of index files, with the engine and its bindings under the address and undefined-behaviour sanitizers.
sanitize-python: .venv/.tested
	tools/sanitize-python

# Damaged index files and bundles for a minute, or for about as long as `make fuzz SECONDS=3600` says. Needs clang.
SECONDS ?= 60
fuzz: .venv/.tested
	@$(CMAKE) -DSHORTLIST_TESTS=OFF -DSHORTLIST_WERROR=OFF -DSHORTLIST_FUZZ=ON -S . -B build/fuzz \
	  -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_COMPILER=clang++ -DSHORTLIST_SANITIZE=address,undefined >/dev/null
	@$(BIN)/cmake --build build/fuzz
	@$(BIN)/python native/fuzz/corpus.py build/fuzz/corpus
	@mkdir -p build/fuzz/found
	tools/fuzz $(SECONDS)

# The NEON kernels: cross-built and tested under emulation. Needs g++-aarch64-linux-gnu and qemu-user-static.
neon: .venv/.tested
	@$(CMAKE) -S . -B build/neon -DCMAKE_BUILD_TYPE=Release \
	  -DCMAKE_TOOLCHAIN_FILE=native/cmake/aarch64.cmake >/dev/null
	@$(BIN)/cmake --build build/neon
	@$(BIN)/ctest -j 2 --test-dir build/neon --output-on-failure

# The native tests by the other compiler.
clang: .venv/.tested
	@$(CMAKE) -S . -B build/clang -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=clang++ >/dev/null
	@$(BIN)/cmake --build build/clang
	@$(BIN)/ctest -j 2 --test-dir build/clang --output-on-failure

# 1,000 writers of live states and 100 services killed, on SQLite and as many on PostgreSQL.
kills: .venv/.tested
	SHORTLIST_KILLS=1000 KERAS_BACKEND=jax $(BIN)/pytest tests/live/test_kills.py

quick: .venv/.tested
	tools/quick

# What users install. See tools/wheel and tests/test_installs.py.
wheel: dist/.built

dist/.built: .venv/.tested $(NATIVE) $(shell find src -name '*.py')
	@$(PIP) install --group wheel
	tools/wheel
	@touch $@

bare: dist/.built
	KERAS_BACKEND=jax $(BIN)/pytest -s -m bare tests/test_installs.py

# The light tests with the oldest packages that pyproject.toml allows, and on another Python.
test-lowest: dist/.built
	tools/test-lowest

test-python:
	tools/test-python $(PYTHON)

bench: .venv/.tested
	$(BIN)/python benchmarks/ann.py

docs: .venv/.tested
	@$(PIP) install --group docs
	$(BIN)/zensical build --clean --strict

clean:
	rm -rf .venv build site .cache
