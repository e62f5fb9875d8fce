# The only place with build commands. `make` alone says what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
SWIFT ?= swift
BUILD := $(SWIFT) build -c release
BIN = $(shell $(SWIFT) build -c release --show-bin-path)
PACKAGES := libopenblas-dev libzstd-dev pkg-config
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help deps build test test-program check-kernels check-texts lint format demo clean
help:
	@echo "make demo           build, and compress the reference model"
	@echo "make test           all tests"
	@echo "make build          .build/release/compress"
	@echo "make lint | format  check or apply the style"
	@echo "make test-program   the tests of the built program alone"
	@echo "make check-kernels  AVX-512 and NEON kernels against the scalar ones, emulated"
	@echo "make check-texts    the shipped texts against their generator"
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
	$(SWIFT) build -c release --build-tests
	$(SWIFT) test -c release --disable-xctest

# The built program as a user runs it: help, errors, bad input, signals.
test-program: build
	$(SWIFT) build -c release --build-tests
	$(SWIFT) test -c release --disable-xctest --filter CommandLineTests

# The instruction sets that this machine may lack, against the scalar kernels.
check-kernels:
	@$(MAKE) --no-print-directory deps PACKAGES="$(PACKAGES) libsimde-dev"
	Tests/Kernels/check.sh

# Makes the shipped texts again and compares bytes; needs python3, nothing else.
check-texts:
	PYTHONDONTWRITEBYTECODE=1 python3 Calibration/scripts/check_texts.py

lint:
	$(SWIFT) format lint --strict --recursive --parallel Package.swift Sources Tests

format:
	$(SWIFT) format --in-place --recursive --parallel Package.swift Sources Tests

demo: build
	$(BIN)/compress --int4 Calibration/reference/model.bin --eval Calibration/evaluation.txt

clean:
	rm -rf .build
