#!/usr/bin/env python3
"""Quantizes a GGUF file with llama.cpp, as its llama-quantize does, for comparison with `compress`.

Usage: llama_cpp_quantize.py MODEL.gguf OUTPUT.gguf TYPE [--threads 4]      TYPE: Q8_0, Q6_K, Q4_K_M, Q4_K_S, Q4_0, IQ4_NL …
Needs llama-cpp-python.
"""
import argparse
import ctypes

import llama_cpp

TYPES = {"Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13,
         "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "IQ4_NL": 25, "IQ4_XS": 30}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("output")
    parser.add_argument("type", choices=TYPES)
    parser.add_argument("--threads", type=int, default=4)
    options = parser.parse_args()
    quiet = llama_cpp.llama_log_callback(lambda *_: None)  # kept alive: llama.cpp calls it
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = TYPES[options.type]
    parameters.nthread = options.threads
    status = llama_cpp.llama_model_quantize(options.model.encode(), options.output.encode(), ctypes.byref(parameters))
    if status != 0:
        raise SystemExit(f"llama.cpp failed with {status}")


if __name__ == "__main__":
    main()
