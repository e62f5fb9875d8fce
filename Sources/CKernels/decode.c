// Decoding of stored rows. The same loops are compiled for the baseline and, on x86-64, for AVX2; nothing is
// fused or reordered, so both give the same bits.
#include "ck_decode.h"

#include <stdatomic.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "bodies/dispatch.h"

#pragma clang fp contract(off)

#define NAME(x) scalar_##x
#include "bodies/decode_rows.h"
#undef NAME

#if defined(__x86_64__)
// The processor's conversion of halves is exact but makes NaNs quiet: halves without a number are converted as above.
#pragma clang attribute push(__attribute__((target("avx2,f16c"))), apply_to = function)
#define NAME(x) avx2_##x
#define CK_HALVES 8
static inline void avx2_halves(const void *x, float *out) {
  __m128i bits = _mm_loadu_si128(x), exponent = _mm_set1_epi16(0x7c00);
  if (_mm_movemask_epi8(_mm_cmpeq_epi16(_mm_and_si128(bits, exponent), exponent))) {
    for (int i = 0; i < 8; i++) {
      uint16_t half;
      __builtin_memcpy(&half, (const uint8_t *)x + 2 * i, 2);
      out[i] = ck_half_to_float(half);
    }
  } else {
    _mm256_storeu_ps(out, _mm256_cvtph_ps(bits));
  }
}
#include "bodies/decode_rows.h"
#undef CK_HALVES
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

int ck_has_half_exponent(const void *halves, size_t count, uint16_t exponent) {
  const uint8_t *bytes = halves;
  uint16_t found = 0;
  // Compilers make vectors of such a loop; most rows have none, so it never stops early.
  for (size_t i = 0; i < count; i++) {
    uint16_t half;
    __builtin_memcpy(&half, bytes + 2 * i, 2);
    found |= (half & exponent) == exponent ? 0xffff : 0;
  }
  return found != 0;
}
