// AVX2 with FMA and F16C.
#if defined(__x86_64__) || defined(CK_SIMDE)
#include "kernels.h"
#if defined(CK_SIMDE)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#else
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#endif

#define CK(name) name##_avx2
#define CK_NAME "avx2"
#define CK_LANES 8
#define CK_TOKENS 4
#define CK_PRODUCT_ROWS 6
#define CK_PRODUCT_VECTORS 2
#define CK_PRODUCT_LANES 8
#define CK_WIDE_OFFSET 0
#include "bodies/types.h"
#include "bodies/x86.h"

typedef int32_t CK(ilane) __attribute__((vector_size(4 * CK_LANES)));

// Products of codes below 2^bits with activations of at most ±127 leave room in 16 bits for `chain` pairs.
CK_INLINE int CK(chain)(const int kind) { return kind == CK_KIND_4 ? 8 : kind == CK_KIND_5 ? 4 : 2; }

CK_INLINE __m256i CK(broadcast)(const int8_t *a) {
  int32_t four;
  __builtin_memcpy(&four, a, 4);
  return _mm256_set1_epi32(four);
}

CK_INLINE void CK(group_sums)(const int kind, const int steps, const int n, const uint8_t *tile,
                              const int8_t *a, size_t stride, CK(ilane) *sums) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i total[CK_TOKENS];
#pragma clang loop unroll(full)
  for (int t = 0; t < n; t++) total[t] = _mm256_setzero_si256();
  if (kind == CK_KIND_WIDE) {
#pragma clang loop unroll(full)
    for (int k = 0; k < steps; k++) {
      __m256i c = _mm256_loadu_si256((const __m256i *)(tile + k * 32)), size = _mm256_abs_epi8(c);
#pragma clang loop unroll(full)
      for (int t = 0; t < n; t++) {
        __m256i four = _mm256_sign_epi8(CK(broadcast)(a + (size_t)t * stride + 4 * k), c);
        total[t] = _mm256_add_epi32(total[t], _mm256_madd_epi16(_mm256_maddubs_epi16(size, four), ones));
      }
    }
  } else {
    const int chain = CK(chain)(kind) < steps ? CK(chain)(kind) : steps;
#pragma clang loop unroll(full)
    for (int from = 0; from < steps; from += chain) {
      __m256i part[CK_TOKENS];
#pragma clang loop unroll(full)
      for (int k = from; k < from + chain; k++) {
        __m256i u = _mm256_loadu_si256((const __m256i *)(tile + k * 32));
#pragma clang loop unroll(full)
        for (int t = 0; t < n; t++) {
          __m256i pairs = _mm256_maddubs_epi16(u, CK(broadcast)(a + (size_t)t * stride + 4 * k));
          part[t] = k == from ? pairs : _mm256_add_epi16(part[t], pairs);
        }
      }
#pragma clang loop unroll(full)
      for (int t = 0; t < n; t++) {
        __m256i quads = _mm256_madd_epi16(part[t], ones);
        total[t] = from == 0 ? quads : _mm256_add_epi32(total[t], quads);
      }
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < n; t++) sums[t] = (CK(ilane))total[t];
}

#include "bodies/all.h"
#if !defined(CK_SIMDE)
#pragma clang attribute pop
#endif
#include "bodies/table.h"
#endif
