// Decoding of stored rows. The same loops are compiled for the baseline and, on x86-64, for AVX2; nothing is
// fused or reordered, so both give the same bits.
#include "ck_decode.h"

#include <stdatomic.h>

#include "bodies/dispatch.h"

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

static atomic_int limited;

void ck_limit_to_baseline(int on) { atomic_store(&limited, on); }

int ck_uses_avx2(void) {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c")
    && atomic_load_explicit(&limited, memory_order_relaxed) != 1;
#else
  return 0;
#endif
}

int ck_uses_avx512(void) {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
    && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
    && !atomic_load_explicit(&limited, memory_order_relaxed);
#else
  return 0;
#endif
}

void ck_decode_row(int format, const void *bytes, float *out, size_t count) {
#if defined(__x86_64__)
  if (ck_uses_avx2()) {
    avx2_row(format, bytes, out, count);
    return;
  }
#endif
  scalar_row(format, bytes, out, count);
}
