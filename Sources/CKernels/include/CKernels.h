#pragma once
// Arithmetic on rows and tiles. Every function takes pointers and counts, never allocates, never fails.
// Scalar twins define the results; vector bodies are chosen at run time (see Kernels.c).
#include <stddef.h>
#include <stdint.h>
#include "ck_decode.h"
#include "ck_encode.h"
#include "ck_feedback.h"
#include "ck_hash.h"
#include "ck_machine.h"
#include "ck_matmul.h"
#include "ck_product.h"
#include "ck_training.h"
#include "ck_round.h"
#include "ck_vector.h"

// The name of the instruction set in use: "scalar", "avx2", "avx-vnni", "avx512-vnni", "neon".
//
// It is the best that the processor has; COMPRESS_ISA=scalar|avx2|avx512|neon in the environment asks for
// another, and is ignored where the processor lacks it.
const char *ck_instruction_set(void);

// Switches the calling thread to an instruction set by name, or back to the default by NULL (for tests).
// Returns 1, or 0, and nothing changes, when this processor lacks it.
int ck_select_instruction_set(const char *name);

// Tells the processor that the calling thread is waiting for another one's memory.
static inline void ck_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}
