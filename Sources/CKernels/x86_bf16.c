// Products of bfloat16 numbers, for AVX-512 processors that multiply them.
#include "kernels.h"

#if defined(__x86_64__) && !defined(CK_SIMDE)
#include <immintrin.h>
#pragma clang attribute push( \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c"))), \
  apply_to = function)

#define CK(name) name##_bf16
#define CK_INLINE static inline __attribute__((always_inline))
#include "bodies/transpose_512.h"

// Sums run on over parts of the columns, so that four tiles stay in the second cache, and twelve tokens in the first: long batches are
// read once for 128 rows.
enum { TILE_ROWS = 32, TOKENS = 12, TILES = 4, PART_COLUMNS = 2048 };

// Pairs of columns that 32 rows take, rounded up to whole squares.
CK_INLINE size_t padded_pairs(size_t columns) { return (columns + 31) / 32 * 16; }

// Two tiles of 16 rows: pair after pair of columns of all rows.
CK_INLINE void pack(const uint8_t *rows, size_t row_bytes, size_t row_count, size_t columns, uint8_t *tile) {
  const size_t pairs = padded_pairs(columns);
  for (size_t half = 0; half < 2; half++) {
    for (size_t at = 0; at < columns; at += 32) {
      size_t left = columns - at;
      __mmask32 mask = left >= 32 ? 0xffffffff : (1u << left) - 1;
      ck_w16v_bf16 v[16];
#pragma clang loop unroll(full)
      for (size_t r = 0; r < 16; r++) {
        size_t row = 16 * half + r;
        const uint8_t *place = rows + (row < row_count ? row : 0) * row_bytes + 2 * at;
        v[r] = (ck_w16v_bf16)_mm512_maskz_loadu_epi16(row < row_count ? mask : 0, place);
      }
      CK(transpose)(v);
      __builtin_memcpy(tile + (half * pairs + at / 2) * 64, v, sizeof v);
    }
  }
}

// 32 packed rows times `n` (a constant) tokens, added to y unless this is the first part of the columns.
CK_INLINE void times(const int n, const uint8_t *tile, size_t pairs, const uint8_t *x, size_t stride, float *y,
                     size_t y_stride, size_t rows, int is_first) {
  __m512 acc[2][TOKENS];
  __mmask16 masks[2];
#pragma clang loop unroll(full)
  for (int i = 0; i < 2; i++) {
    size_t left = rows > 16 * (size_t)i ? rows - 16 * (size_t)i : 0;
    masks[i] = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
    __mmask16 mask = is_first ? 0 : masks[i];
#pragma clang loop unroll(full)
    for (int t = 0; t < n; t++) acc[i][t] = _mm512_maskz_loadu_ps(mask, y + (size_t)t * y_stride + 16 * i);
  }
  for (size_t p = 0; p < pairs; p++) {
    __m512bh u = (__m512bh)_mm512_load_si512(tile + 64 * p);
    __m512bh v = (__m512bh)_mm512_load_si512(tile + 64 * (pairs + p));
#pragma clang loop unroll(full)
    for (int t = 0; t < n; t++) {
      int32_t two;
      __builtin_memcpy(&two, x + (size_t)t * stride + 4 * p, 4);
      __m512bh a = (__m512bh)_mm512_set1_epi32(two);
      acc[0][t] = _mm512_dpbf16_ps(acc[0][t], u, a);
      acc[1][t] = _mm512_dpbf16_ps(acc[1][t], v, a);
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 2; i++) {
#pragma clang loop unroll(full)
    for (int t = 0; t < n; t++) _mm512_mask_storeu_ps(y + (size_t)t * y_stride + 16 * i, masks[i], acc[i][t]);
  }
}

// Up to TILES tiles times all tokens, over a part of the columns that begins at `x`.
static void multiply_tiles(const uint8_t *tiles, size_t pairs, size_t rows, const uint8_t *x, size_t stride,
                           size_t tokens, float *y, size_t y_stride, int is_first) {
  size_t t = 0;
#define PART(N) \
  for (; t + N <= tokens; t += N) { \
    for (size_t row = 0; row < rows; row += TILE_ROWS) \
      times(N, tiles + row * pairs * 4, pairs, x + t * stride, stride, y + t * y_stride + row, y_stride, \
            rows - row < TILE_ROWS ? rows - row : TILE_ROWS, is_first); \
  }
  PART(12) PART(8) PART(4) PART(1)
#undef PART
}

static void multiply(const uint8_t *rows, size_t row_bytes, size_t row_count, size_t columns, const uint8_t *x,
                     size_t tokens, float *y, size_t y_stride, uint8_t *tiles) {
  const size_t stride = ck_bf16_activation_bytes(columns);
  for (size_t row = 0; row < row_count; row += TILES * TILE_ROWS) {
    const size_t count = row_count - row < TILES * TILE_ROWS ? row_count - row : TILES * TILE_ROWS;
    for (size_t at = 0; at < columns; at += PART_COLUMNS) {
      const size_t part = columns - at < PART_COLUMNS ? columns - at : PART_COLUMNS, pairs = padded_pairs(part);
      for (size_t tile = 0; tile < count; tile += TILE_ROWS) {
        pack(rows + (row + tile) * row_bytes + 2 * at, row_bytes, count - tile < TILE_ROWS ? count - tile : TILE_ROWS, part,
             tiles + tile * pairs * 4);
      }
      multiply_tiles(tiles, pairs, count, x + 2 * at, stride, tokens, y + row, y_stride, at == 0);
    }
  }
}

#define CK_PRODUCT_ROWS 12
#define CK_PRODUCT_VECTORS 2
#define CK_PRODUCT_LANES 16
#define CK_PRODUCT_ADD(sum, a, b) \
  ((CK(pv))_mm512_dpbf16_ps((__m512)(sum), (__m512bh)(b), (__m512bh)_mm512_set1_ps(a)))
#include "bodies/product.h"

static void pair(const float *even, const float *odd, uint32_t *pairs, size_t count) {
  for (size_t i = 0; i < count; i += 16) {
    const __mmask16 mask = count - i >= 16 ? 0xffff : (__mmask16)((1u << (count - i)) - 1);
    const __m256i low = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, even + i));
    __m512i both = _mm512_cvtepu16_epi32(low);
    if (odd) {
      const __m256i high = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, odd + i));
      both = _mm512_or_si512(both, _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
    }
    _mm512_mask_storeu_epi32(pairs + i, mask, both);
  }
}
#pragma clang attribute pop

void ck_multiply_bf16(const void *rows, size_t row_bytes, size_t row_count, size_t columns, const void *x,
                      size_t tokens, float *y, size_t y_stride, void *scratch) {
  multiply(rows, row_bytes, row_count, columns, x, tokens, y, y_stride, scratch);
}

void ck_pair_bf16(const float *even, const float *odd, uint32_t *pairs, size_t count) { pair(even, odd, pairs, count); }

void ck_add_pair_product(const ck_product *product, void *scratch) { CK(add_product)(product, scratch); }
#else
void ck_pair_bf16(const float *even, const float *odd, uint32_t *pairs, size_t count) {
  (void)even, (void)odd, (void)pairs, (void)count;
}

void ck_add_pair_product(const ck_product *product, void *scratch) { (void)product, (void)scratch; }

void ck_multiply_bf16(const void *rows, size_t row_bytes, size_t row_count, size_t columns, const void *x,
                      size_t tokens, float *y, size_t y_stride, void *scratch) {
  (void)rows, (void)row_bytes, (void)row_count, (void)columns, (void)x, (void)tokens, (void)y, (void)y_stride;
  (void)scratch;
}
#endif

// A token's numbers fill whole squares of 32.
size_t ck_bf16_activation_bytes(size_t columns) { return (columns + 31) / 32 * 64; }

// Four tiles of 32 rows and up to 2048 columns.
size_t ck_bf16_scratch_bytes(size_t columns) { return ((columns < 2048 ? columns : 2048) + 31) / 32 * 64 * 128; }
