#pragma once
// Arithmetic on rows and tiles. Every function takes pointers and counts, never allocates, never fails.
// Scalar twins define the results; vector bodies are chosen at run time (see Kernels.c).
#include <stddef.h>
#include <stdint.h>
#include "ck_decode.h"
#include "ck_encode.h"

// The name of the instruction set in use: "scalar", "avx2", "avx512-vnni", "neon".
const char *ck_instruction_set(void);
