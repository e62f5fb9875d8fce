# The only place with build commands. `make` alone says what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
SWIFT ?= swift
BUILD := $(SWIFT) build -c release
# `swift test` alone would build everything again with other options: no test imports a module's insides.
TEST := $(SWIFT) test -c release --skip-build --disable-xctest
BIN = $(shell $(BUILD) --show-bin-path)
PACKAGES := libopenblas-dev libzstd-dev pkg-config
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help deps build test test-program check-kernels check-texts peers peers-quality peers-transformers bench-quality bench-peers bench-pruning lint format demo reports screenshots limits clean
help:
	@echo "make demo           build, and compress the reference model"
	@echo "make test           all tests"
	@echo "make build          .build/release/compress"
	@echo "make lint | format  check or apply the style"
	@echo "make test-program   the tests of the built program alone"
	@echo "make check-kernels  AVX-512 and NEON kernels against the scalar ones, emulated"
	@echo "make check-texts    the shipped texts against their generator"
	@echo "make peers          artifacts in llama.cpp: the same perplexity? (installs llama.cpp from PyPI into .venv)"
	@echo "make peers-quality  size and quality of llama.cpp's types and ours, on the same text"
	@echo "make bench-quality  every quality bar beside llama.cpp, GPTQ, AWQ, AutoRound (installs them; DATA=models and texts)"
	@echo "make bench-peers    every speed bar beside llama.cpp and zstd: decode, prefill, quantize, evaluate, pack, start"
	@echo "make bench-pruning  every pruning bar beside Wanda and SparseGPT (DATA=models and texts; ONLY=big,time for a large model)"
	@echo "make bench-training what trainings reach: recoveries of quantized models, students (DATA=models and texts)"
	@echo "make reference      the reference model, trained from random weights: the shipped bytes (STEPS=30 to try it out)"
	@echo "make peers-transformers  quantized safetensors in transformers: the same logits?"
	@echo "make reports        the reference runs in Reports/, made again"
	@echo "make limits         instructions and allocations of a token, counted by valgrind, against committed limits"
	@echo "make screenshots    pages of runs of every kind in headless Chromium: layout checked, pictures in .build/screenshots"
	@echo "make clean"

# Installs what is missing, and touches nothing when all is there.
deps:
	@command -v apt-get >/dev/null || exit 0; missing=""; \
	for p in $(PACKAGES); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q "install ok installed" || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then echo "installing$$missing"; \
	  $(SUDO) apt-get update -qq; DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing; fi

build: deps
	$(BUILD) --product compress

test: deps
	$(BUILD) --build-tests
	$(TEST)

# The built program as a user runs it: help, errors, bad input, signals.
test-program: build
	$(BUILD) --build-tests
	$(TEST) --filter CommandLineTests

# The instruction sets that this machine may lack, against the scalar kernels.
check-kernels:
	@$(MAKE) --no-print-directory deps PACKAGES="$(PACKAGES) libsimde-dev"
	Tests/Kernels/check.sh

# Makes the shipped texts again and compares bytes; needs python3, nothing else.
check-texts:
	PYTHONDONTWRITEBYTECODE=1 python3 Calibration/scripts/check_texts.py

# Artifacts in llama.cpp: make peers [MODEL=… TEXT=…] [PEER_PYTHON=a Python with Tests/Peers/requirements.txt]
peers: build
	PEER_PYTHON="$(PEER_PYTHON)" Tests/Peers/check.sh $(BIN)/compress $(MODEL) $(TEXT)

# The table of the README: make peers-quality [MODEL=… TEXT=… CONTEXT=256]
peers-quality: build
	PEER_PYTHON="$(PEER_PYTHON)" Tests/Peers/compare_quality.sh $(BIN)/compress "$(MODEL)" "$(TEXT)" $(CONTEXT)

# Every bar of docs/Quality.md: make bench-quality [DATA=a folder of models/ and text/] [QUICK=1] [ONLY=names of bars or models]
bench-quality: build
	PEER_PYTHON="$(PEER_PYTHON)" Tests/Peers/bench_quality.sh $(BIN)/compress $(if $(DATA),--data "$(DATA)") \
	  $(if $(QUICK),--quick) $(if $(ONLY),--only "$(ONLY)")

# Every speed bar of docs/Performance.md: make bench-peers [QUICK=1] [ONLY=parts of rows' names] [WORK=a folder with 12 GB]
bench-peers: build
	PEER_PYTHON="$(PEER_PYTHON)" Tests/Peers/bench_speed.sh $(BIN)/compress $(if $(WORK),--work "$(WORK)") \
	  $(if $(QUICK),--quick) $(if $(ONLY),--only "$(ONLY)")

# Every pruning bar: make bench-pruning DATA=a folder of models/ and text/ [ONLY=big] [WORK=a folder with 12 GB]
bench-pruning: build
	Tests/Peers/bench_pruning.sh $(BIN)/compress $(if $(DATA),--data "$(DATA)") $(if $(WORK),--work "$(WORK)") \
	  $(if $(ONLY),--only "$(ONLY)")

.PHONY: bench-training reference
# What trainings reach: make bench-training DATA=a folder of models/ and text/ [ONLY=parts of rows' names] [WORK=a folder]
bench-training: build
	Tests/Peers/bench_training.sh $(BIN)/compress "$(DATA)" "$(WORK)" "$(ONLY)"

# From random weights, by this program's own engine, the same bytes each time: make reference [STEPS=30] [OUT=a folder] [RESUME=1]
reference: build
	RESUME="$(RESUME)" Calibration/scripts/train_reference.sh $(BIN)/compress "$(or $(OUT),.build/reference)" $(STEPS)

# Quantized safetensors in transformers with compressed-tensors (installed from PyPI into .venv-transformers).
peers-transformers: build
	PEER_PYTHON="$(PEER_PYTHON)" Tests/Peers/check_transformers.sh $(BIN)/compress $(MODEL)

lint:
	$(SWIFT) format lint --strict --recursive --parallel Package.swift Sources Tests

format:
	$(SWIFT) format --in-place --recursive --parallel Package.swift Sources Tests

demo: build
	$(BIN)/compress --int4 Calibration/reference/model.bin --eval Calibration/evaluation.txt

# Reference runs of the shipped model: reports only, no artifacts.
reports: build
	Reports/remake.sh $(BIN)

# Instructions and allocations of a token against Tests/Performance/limits.json; UPDATE=1 writes them anew.
limits: build
	python3 Tests/Performance/limits.py $(BIN)/compress $(if $(UPDATE),--update)

# Pages of runs of every kind, and those of the tests: make screenshots [DATA=a folder of models/ and text/] [KEEP=1]
screenshots: build
	$(BUILD) --build-tests
	mkdir -p .build/test-pages
	COMPRESS_TEST_PAGES="$(CURDIR)/.build/test-pages" $(TEST) --filter HTMLReportTests
	DATA="$(DATA)" KEEP="$(KEEP)" TEST_PAGES="$(CURDIR)/.build/test-pages" Tests/Pages/screenshots.sh $(BIN)

clean:
	rm -rf .build
