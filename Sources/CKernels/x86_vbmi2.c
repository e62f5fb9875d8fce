// Half rows for AVX-512 processors that spread bytes over a register (VBMI2).
#include "kernels.h"
#include "sparse.h"

#if defined(__x86_64__) && !defined(CK_SIMDE)
#include <immintrin.h>
#pragma clang attribute push( \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi2,avx2,fma,f16c"))), \
  apply_to = function)

#define CK(name) name##_vbmi2
#define CK_NAME "avx512-vbmi2"
#define CK_LANES 16
#define CK_TOKENS 8
#define CK_ROWS_512 1
#define CK_WIDE_OFFSET 128
#include "bodies/types.h"
#include "bodies/x86.h"

#include "bodies/unpack.h"
#include "bodies/multiply_rows.h"

// 64 codes in the order of the columns.
CK_INLINE __m512i CK(spread)(const uint8_t *half, int k) {
  uint64_t mask;
  __builtin_memcpy(&mask, half + CK_HALF_MASKS + 8 * k, 8);
  return _mm512_maskz_expand_epi8(
    mask, _mm512_castsi256_si512(CK(load_256)(half + CK_HALF_CODES + 32 * k)));
}

// One row times one token: the sums of the same row in blocks of q8_0, bit for bit.
CK_INLINE float CK(half_dot)(const uint8_t *row, size_t columns, CK(record) a) {
  __m512 acc[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (size_t at = 0; at < columns; at += 256, row += CK_HALF_BYTES) {
    CK(codes_256) c;
    CK(prefetch)(row, CK_HALF_BYTES);
    c.s = CK(extend)(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)row)));
#pragma clang loop unroll(full)
    for (int k = 0; k < 4; k++) c.u[k] = CK(spread)(row, k);
    CK(add_wide)(CK_KIND_WIDE, 32, &c, a, at / 32, acc);
  }
  CK(f8v) sum[4];
  __builtin_memcpy(sum, acc, sizeof sum);
  return CK(end_row)(CK_Q8_0, row, columns, columns, a, sum);
}

void ck_multiply_half_rows_vbmi2(const void *rows, size_t row_count, size_t columns, const void *records,
                                 size_t tokens, float *y, size_t y_stride) {
  for (size_t r = 0; r < row_count; r++) {
    const uint8_t *row = (const uint8_t *)rows + r * ck_half_row_bytes(columns);
    for (size_t t = 0; t < tokens; t++) {
      y[t * y_stride + r] = CK(half_dot)(row, columns, CK(open_record)(records, t, columns));
    }
  }
}

void ck_expand_row_vbmi2(const void *half, size_t columns, void *row) {
  const uint8_t *from = (const uint8_t *)half;
  uint8_t *to = (uint8_t *)row;
  for (size_t at = 0; at < columns; at += 256, from += CK_HALF_BYTES, to += 272) {
#pragma clang loop unroll(full)
    for (int k = 0; k < 4; k++) {
      __m512i codes = CK(spread)(from, k);
      __builtin_memcpy(to + 68 * k, from + 4 * k, 2);
      __builtin_memcpy(to + 68 * k + 34, from + 4 * k + 2, 2);
      _mm256_storeu_si256((__m256i *)(to + 68 * k + 2), _mm512_castsi512_si256(codes));
      _mm256_storeu_si256((__m256i *)(to + 68 * k + 36), _mm512_extracti64x4_epi64(codes, 1));
    }
  }
}

#pragma clang attribute pop
#endif
