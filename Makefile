# The only place with build commands. `make` alone prints the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
SWIFT ?= swift
BUILD := $(SWIFT) build -c release
BIN = $(shell $(SWIFT) build -c release --show-bin-path)
PACKAGES := libopenblas-dev libzstd-dev pkg-config
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help deps build test check-kernels check-texts lint format demo clean
help:
	@echo "make deps | build | test | check-kernels | check-texts | lint | format | demo | clean"

# Installs what is missing, and touches nothing when all is there.
deps:
	@missing=""; for p in $(PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
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
