# The only place with build commands. `make` alone prints the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
SWIFT ?= swift
BUILD := $(SWIFT) build -c release
BIN = $(shell $(SWIFT) build -c release --show-bin-path)
PACKAGES := libopenblas-dev libzstd-dev pkg-config
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help deps build test check-kernels peers lint format demo clean
help:
	@echo "make deps | build | test | peers | lint | format | demo | clean"

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

# The instruction sets that this machine may lack, against the scalar kernels.
check-kernels:
	Tests/Kernels/check.sh

# Artifacts in llama.cpp: make peers [MODEL=… TEXT=…] [PEER_PYTHON=a Python with Tests/Peers/requirements.txt]
peers: build
	PEER_PYTHON="$(PEER_PYTHON)" Tests/Peers/check.sh $(BIN)/compress $(MODEL) $(TEXT)

lint:
	$(SWIFT) format lint --strict --recursive --parallel Package.swift Sources Tests

format:
	$(SWIFT) format --in-place --recursive --parallel Package.swift Sources Tests

demo: build
	$(BIN)/compress --int4 Calibration/reference/model.bin -o Reports/demo

clean:
	rm -rf .build
