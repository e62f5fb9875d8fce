// Decoding of stored rows. The same loops are compiled for the baseline and, on x86-64, for AVX2; nothing is
// fused or reordered, so both give the same bits.
#include "ck_decode.h"

#pragma clang fp contract(off)

#define NAME(x) scalar_##x
#include "bodies/decode_rows.h"
#undef NAME

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,f16c"))), apply_to = function)
#define NAME(x) avx2_##x
#include "bodies/decode_rows.h"
#undef NAME
#pragma clang attribute pop
#endif

void ck_decode_row(int format, const void *bytes, float *out, size_t count) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c")) {
    avx2_row(format, bytes, out, count);
    return;
  }
#endif
  scalar_row(format, bytes, out, count);
}
