// Half rows for AVX-512 processors that permute and spread bytes over registers (VBMI and VBMI2).
#include "kernels.h"
#include "sparse.h"

#if defined(__x86_64__) && !defined(CK_SIMDE)
#include <immintrin.h>
#pragma clang attribute push( \
  __attribute__((target( \
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,avx512vbmi2,avx2,fma,f16c"))), \
  apply_to = function)

#define CK(name) name##_vbmi
#define CK_NAME "avx512-vbmi"
#define CK_LANES 16
#define CK_TOKENS 8
#define CK_ROWS_512 1
#define CK_WIDE_OFFSET 128
#include "bodies/types.h"
#include "bodies/x86.h"

#include "bodies/unpack.h"
#include "bodies/multiply_rows.h"

// The 64 activations, of 128, that meet the 64 codes of a half: two of each four.
CK_INLINE __m512i CK(chosen)(const uint8_t *places, const int8_t *a) {
  const __m512i shifts = _mm512_set1_epi64(0x0e0c0a0806040200);  // eight places of two bits in each lane of 64
  const __m512i two = _mm512_set1_epi8(3);
  // Byte i: the first column of group i / 2.
  const __m512i groups = _mm512_set_epi64(
    0x7c7c787874747070, 0x6c6c686864646060, 0x5c5c585854545050, 0x4c4c484844444040, 0x3c3c383834343030,
    0x2c2c282824242020, 0x1c1c181814141010, 0x0c0c080804040000);
  __m512i words = _mm512_cvtepu16_epi64(_mm_loadu_si128((const __m128i *)places));
  __m512i index = _mm512_multishift_epi64_epi8(shifts, words);
  index = _mm512_ternarylogic_epi32(index, two, groups, 0xea);  // (index & two) | groups
  return _mm512_permutex2var_epi8(_mm512_loadu_si512(a), index, _mm512_loadu_si512(a + 64));
}

// One row times one token, as half_dot_scalar has it.
CK_INLINE float CK(half_dot)(const uint8_t *row, size_t columns, CK(record) a) {
  const __m512i fours = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  __m512 acc[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (size_t at = 0; at < columns; at += 256, row += CK_HALF_BYTES) {
    CK(prefetch)(row, CK_HALF_BYTES);
    __m256 scales = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)row));
    __m512 s = CK(extend)(_mm256_mul_ps(scales, _mm256_loadu_ps(a.d + at / 32)));
#pragma clang loop unroll(full)
    for (int k = 0; k < 2; k++) {
      __m512i u = _mm512_loadu_si512(row + CK_HALF_CODES + 64 * k);
      __m512i v = CK(chosen)(row + CK_HALF_PLACES + 16 * k, a.codes + at + 128 * k);
      // The sign moves to the activations: products are of unsigned and signed bytes.
      v = _mm512_mask_sub_epi8(v, _mm512_movepi8_mask(u), _mm512_setzero_si512(), v);
      __m512i dots = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_abs_epi8(u), v);
      __m512 from = _mm512_permutexvar_ps(_mm512_add_epi32(fours, _mm512_set1_epi32(4 * k)), s);
      acc[k] = _mm512_fmadd_ps(CK(to_floats)(dots), from, acc[k]);
    }
  }
  CK(f8v) sum[4];
  __builtin_memcpy(sum, acc, sizeof sum);
  return CK(end_row)(CK_Q8_0, row, columns, columns, a, sum);
}

void ck_multiply_half_rows_vbmi(const void *rows, size_t row_count, size_t columns, const void *records,
                                size_t tokens, float *y, size_t y_stride) {
  for (size_t r = 0; r < row_count; r++) {
    const uint8_t *row = (const uint8_t *)rows + r * ck_half_row_bytes(columns);
    for (size_t t = 0; t < tokens; t++) {
      y[t * y_stride + r] = CK(half_dot)(row, columns, CK(open_record)(records, t, columns));
    }
  }
}

// For 32 bytes of places the bits of the columns that have codes: those of 256 columns.
CK_INLINE __m256i CK(kept)(const uint8_t *places) {
  const uint8_t *table = ck_half_masks;
  __m512i index = _mm512_castsi256_si512(CK(load_256)(places));
  __m512i low = _mm512_permutex2var_epi8(_mm512_loadu_si512(table), index, _mm512_loadu_si512(table + 64));
  __m512i high = _mm512_permutex2var_epi8(_mm512_loadu_si512(table + 128), index, _mm512_loadu_si512(table + 192));
  return _mm512_castsi512_si256(_mm512_mask_mov_epi8(low, _mm512_movepi8_mask(index), high));
}

void ck_expand_row_vbmi(const void *half, size_t columns, void *row) {
  const uint8_t *from = (const uint8_t *)half;
  uint8_t *to = (uint8_t *)row;
  for (size_t at = 0; at < columns; at += 256, from += CK_HALF_BYTES, to += 272) {
    uint64_t masks[4];
    _mm256_storeu_si256((__m256i *)masks, CK(kept)(from + CK_HALF_PLACES));
#pragma clang loop unroll(full)
    for (int k = 0; k < 4; k++) {
      __m512i codes = _mm512_maskz_expand_epi8(
        masks[k], _mm512_castsi256_si512(CK(load_256)(from + CK_HALF_CODES + 32 * k)));
      __builtin_memcpy(to + 68 * k, from + 4 * k, 2);
      __builtin_memcpy(to + 68 * k + 34, from + 4 * k + 2, 2);
      _mm256_storeu_si256((__m256i *)(to + 68 * k + 2), _mm512_castsi512_si256(codes));
      _mm256_storeu_si256((__m256i *)(to + 68 * k + 36), _mm512_extracti64x4_epi64(codes, 1));
    }
  }
}

#pragma clang attribute pop
#endif
