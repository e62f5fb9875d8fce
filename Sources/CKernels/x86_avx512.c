// AVX-512 (F, BW, DQ, VL) with VNNI.
#if defined(__x86_64__) || defined(CK_SIMDE)
#include "kernels.h"
#if defined(CK_SIMDE)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#else
#include <immintrin.h>
#pragma clang attribute push( \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"))), apply_to = function)
#endif

#define CK(name) name##_avx512
#define CK_NAME "avx512-vnni"
#define CK_LANES 16
#define CK_TOKENS 8
#define CK_PRODUCT_ROWS 12
#define CK_PRODUCT_VECTORS 2
#define CK_PRODUCT_LANES 16
#define CK_WIDE_OFFSET 128  // int8 codes are packed as c + 128: vpdpbusd takes unsigned codes
#include "bodies/types.h"
#include "bodies/x86.h"

typedef int32_t CK(ilane) __attribute__((vector_size(4 * CK_LANES)));

CK_INLINE void CK(group_sums)(const int kind, const int steps, const int n, const uint8_t *tile,
                              const int8_t *a, size_t stride, CK(ilane) *sums) {
  (void)kind;
  __m512i total[CK_TOKENS];
#pragma clang loop unroll(full)
  for (int t = 0; t < n; t++) total[t] = _mm512_setzero_si512();
#pragma clang loop unroll(full)
  for (int k = 0; k < steps; k++) {
    __m512i u = _mm512_loadu_si512(tile + k * 64);
#pragma clang loop unroll(full)
    for (int t = 0; t < n; t++) {
      int32_t four;
      __builtin_memcpy(&four, a + (size_t)t * stride + 4 * k, 4);
      total[t] = _mm512_dpbusd_epi32(total[t], u, _mm512_set1_epi32(four));
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < n; t++) __builtin_memcpy(&sums[t], &total[t], 64);
}

#include "bodies/all.h"
#if !defined(CK_SIMDE)
#pragma clang attribute pop
#endif
#include "bodies/table.h"
#endif
