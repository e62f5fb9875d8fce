// Products row by row, for one or few tokens. No include guard.

// The quantized activations of one token (see ck_record_bytes).
typedef struct {
  const int8_t *codes;
  const float *d, *sums32, *sums16;
  const int32_t *counts32, *counts16;
} CK(record);

CK_INLINE CK(record) CK(open_record)(const void *records, size_t index, size_t columns) {
  const int8_t *base = (const int8_t *)records + index * ck_record_bytes(columns);
  const float *d = (const float *)(base + columns);
  size_t blocks = columns / 32;
  const int32_t *counts = (const int32_t *)(d + 4 * blocks);
  return (CK(record)){base, d, d + blocks, d + 2 * blocks, counts, counts + blocks};
}

// The sizes of 32 numbers as bits, so that NaN counts as the largest of all: the larger of x[i] and x[i + 16].
CK_INLINE CK(i16v) CK(sizes_32)(const float *x) {
  CK(f16v) low = CK(load)(x), high = CK(load)(x + 16);
  return __builtin_elementwise_max((CK(i16v))low & 0x7fffffff, (CK(i16v))high & 0x7fffffff);
}

// What the largest number becomes: the scale max / 127 and its inverse.
typedef struct {
  float scale, inverse;
} CK(rounding);

CK_INLINE CK(rounding) CK(rounding_of)(CK(i16v) sizes) {
  int32_t bits = __builtin_reduce_max(sizes);
  float most;
  __builtin_memcpy(&most, &bits, 4);
  // 127 / most overflows for the smallest numbers: such a block counts as zero.
  int vanishes = most <= 0x1p-120f;
  CK(rounding) result = {vanishes ? 0 : most / 127, vanishes ? 0 : 127 / most};
  if (bits >= 0x7f800000) result.scale = __builtin_nanf("");  // must not turn into a plausible result
  return result;
}

// The codes of 32 numbers, and their sums times `scale`, as block `b` of a record.
CK_INLINE void CK(quantize_32)(const float *x, float inverse, float scale, CK(record) r, size_t b) {
#pragma clang fp contract(off)  // the codes are the same on every instruction set
  int8_t *codes = (int8_t *)r.codes + 32 * b;
  float *d = (float *)r.d, *sums32 = (float *)r.sums32, *sums16 = (float *)r.sums16;
  // Adding 1.5·2²³ rounds to nearest even and leaves the integer in the low bits.
  CK(i16v) i = (CK(i16v))(CK(load)(x) * inverse + 0x1.8p23f) - 0x4b400000;
  CK(i16v) j = (CK(i16v))(CK(load)(x + 16) * inverse + 0x1.8p23f) - 0x4b400000;
  CK(b16v) first = __builtin_convertvector(i, CK(b16v)), second = __builtin_convertvector(j, CK(b16v));
  __builtin_memcpy(codes, &first, 16);
  __builtin_memcpy(codes + 16, &second, 16);
  int32_t sum_low = __builtin_reduce_add(i), sum_high = __builtin_reduce_add(j);
  d[b] = scale;
  sums32[b] = scale * (float)(sum_low + sum_high);
  sums16[2 * b] = scale * (float)sum_low;
  sums16[2 * b + 1] = scale * (float)sum_high;
  int32_t *counts32 = (int32_t *)r.counts32, *counts16 = (int32_t *)r.counts16;
  counts32[b] = sum_low + sum_high;
  counts16[2 * b] = sum_low;
  counts16[2 * b + 1] = sum_high;
}

static void CK(quantize_activations)(const float *x, size_t columns, void *record) {
  CK(record) r = CK(open_record)(record, 0, columns);
  for (size_t b = 0; b < columns / 32; b++, x += 32) {
    CK(rounding) rounding = CK(rounding_of)(CK(sizes_32)(x));
    CK(quantize_32)(x, rounding.inverse, rounding.scale, r, b);
  }
}

static float CK(quantize_token)(const float *x, size_t columns, void *record) {
  CK(record) r = CK(open_record)(record, 0, columns);
  CK(i16v) sizes = {0};
  for (size_t b = 0; b < columns / 32; b++) {
    sizes = __builtin_elementwise_max(sizes, CK(sizes_32)(x + 32 * b));
  }
  CK(rounding) rounding = CK(rounding_of)(sizes);
  for (size_t b = 0; b < columns / 32; b++) CK(quantize_32)(x + 32 * b, rounding.inverse, 1, r, b);
  return rounding.scale;
}

CK_INLINE CK(i8v) CK(dot_codes)(const int kind, const uint8_t *u, const int8_t *a) {
  return kind == CK_KIND_WIDE ? CK(dot_signed)((const int8_t *)u, a) : CK(dot_unsigned)(u, a);
}

// Adds 256 unpacked weights times activations from block `b` on. Four sums take turns, which hides the
// latency of adding; lane l of all of them collects the codes 4l .. 4l + 3 of each block.
CK_INLINE void CK(add_256)(const int kind, const int group, const uint8_t *u, const float *s, const float *m,
                           CK(record) a, size_t b, CK(f8v) *sum) {
  CK(f8v) d, v, first, second;
  __builtin_memcpy(&d, a.d + b, 32);
  __builtin_memcpy(&first, s, 32);
  if (group == 32) {
    first *= d;
  } else {
    __builtin_memcpy(&second, s + 8, 32);
    first *= __builtin_shufflevector(d, d, 0, 0, 1, 1, 2, 2, 3, 3);
    second *= __builtin_shufflevector(d, d, 4, 4, 5, 5, 6, 6, 7, 7);
  }
#pragma clang loop unroll(full)
  for (int k = 0; k < 8; k++) {
    CK(i8v) dot = CK(dot_codes)(kind, u + 32 * k, a.codes + 32 * (b + (size_t)k));
    CK(f8v) from = group == 32 || k < 4 ? first : second;
    float even = group == 32 ? from[k] : from[2 * k % 8], odd = group == 32 ? even : from[2 * k % 8 + 1];
    v = (CK(f8v)){even, even, even, even, odd, odd, odd, odd};
    sum[k % 4] = __builtin_convertvector(dot, CK(f8v)) * v + sum[k % 4];
  }
  if (kind == CK_KIND_WIDE) return;
  const float *sums = group == 32 ? a.sums32 + b : a.sums16 + 2 * b;
#pragma clang loop unroll(full)
  for (int g = 0; g < 256 / group; g += 8) {
    __builtin_memcpy(&v, m + g, 32);
    __builtin_memcpy(&d, sums + g, 32);
    sum[g / 8] = v * d + sum[g / 8];
  }
}

// What is left of a row from column `at` on, in blocks of 32, and the sum of all lanes.
CK_INLINE float CK(end_row)(const int format, const uint8_t *row, size_t columns, size_t at, CK(record) a,
                            CK(f8v) *sum) {
  uint8_t u[32] __attribute__((aligned(64)));
  float s, m, offset = 0;
  for (; at < columns; at += 32, row += CK(block_bytes)(format)) {
    CK(unpack_32)(format, row, u, &s, &m);
    CK(i8v) dot = CK(dot_codes)(CK(kind)(format), u, a.codes + at);
    sum[0] = __builtin_convertvector(dot, CK(f8v)) * (s * a.d[at / 32]) + sum[0];
    offset = m * a.sums32[at / 32] + offset;
  }
  sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  CK(f8v) v = sum[0];
  return (((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))) + offset;
}

// How far ahead of a row's bytes the next ones are asked for, into the second-level cache: rows follow each other in memory, the
// processor's own prefetching ends with each page, and the first level has too few lines in flight for the memory's speed.
#define CK_PREFETCH 16384

CK_INLINE void CK(prefetch)(const uint8_t *row, size_t bytes) {
#pragma clang loop unroll(full)
  for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(row + CK_PREFETCH + at, 0, 2);
}

#ifdef CK_ROWS_512
#include "rows_512.h"
#else
#ifdef CK_TILES_256
#include "rows_256.h"
#endif

// One row times one token.
CK_INLINE float CK(row_dot)(const int format, const uint8_t *row, size_t columns, CK(record) a) {
  const size_t block = CK(block)(format), bytes = CK(block_bytes)(format);
  const int group = CK(group)(format), kind = CK(kind)(format);
  uint8_t u[256] __attribute__((aligned(64)));
  float s[16] __attribute__((aligned(64))), m[16] __attribute__((aligned(64)));
  CK(f8v) sum[4] = {{0}, {0}, {0}, {0}};
  size_t at = 0;
  for (; at + 256 <= columns; at += 256) {
    CK(prefetch)(row, 256 / block * bytes);
#ifdef CK_TILES_256
    if (CK(reads_codes)(format)) {
      CK(add_codes)(format, row, a, at / 32, (__m256 *)sum);
      row += 256 / block * bytes;
      continue;
    }
#endif
    if (block == 256) CK(unpack)(format, row, u, s, m);
    else CK(unpack_8)(format, row, u, s, m);
    row += 256 / block * bytes;
    CK(add_256)(kind, group, u, s, m, a, at / 32, sum);
  }
  return CK(end_row)(format, row, columns, at, a, sum);
}
#endif

#ifdef CK_ROWS_8
#include "rows_8.h"
#define CK_EIGHTS(F) \
  if (CK(takes_eight)(F, columns)) { \
    CK(multiply_eights)(F, rows, row_bytes, row_count, columns, records, tokens, y, y_stride); \
    break; \
  }
#else
#define CK_EIGHTS(F)
#endif

#define CK_FOR_EACH_BLOCK_FORMAT(DO) \
  DO(CK_Q4_0) DO(CK_Q4_1) DO(CK_Q5_0) DO(CK_Q5_1) DO(CK_Q8_0) DO(CK_Q2_K) DO(CK_Q3_K) DO(CK_Q4_K) \
  DO(CK_Q5_K) DO(CK_Q6_K) DO(CK_IQ4_NL) DO(CK_IQ4_XS)

static void CK(multiply_rows)(int format, const void *rows, size_t row_bytes, size_t row_count,
                              size_t columns, const void *records, size_t tokens, float *y,
                              size_t y_stride) {
#define CK_CASE(F) \
  case F: \
    CK_EIGHTS(F) \
    for (size_t r = 0; r < row_count; r++) { \
      const uint8_t *row = (const uint8_t *)rows + r * row_bytes; \
      for (size_t t = 0; t < tokens; t++) { \
        y[t * y_stride + r] = CK(row_dot)(F, row, columns, CK(open_record)(records, t, columns)); \
      } \
    } \
    break;
  switch (format) { CK_FOR_EACH_BLOCK_FORMAT(CK_CASE) }
#undef CK_CASE
}
