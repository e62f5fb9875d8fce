// Half rows of int8 codes: storing, expanding, the scalar twin of their products, and which body multiplies.
#include "kernels.h"
#include "sparse.h"
#include <string.h>

enum { DENSE_BLOCK = 34, DENSE_BYTES = 8 * DENSE_BLOCK };

size_t ck_half_row_bytes(size_t columns) { return columns / 256 * CK_HALF_BYTES; }

// The place of code `index` of 256 columns.
static inline size_t dense_place(size_t column) { return DENSE_BLOCK * (column / 32) + 2 + column % 32; }

// The two places of a group's codes, in rising order; 0 where it has more.
static int places(const uint8_t *codes, int *first, int *second) {
  int found[4], count = 0;
  for (int place = 0; place < 4; place++) {
    if (codes[place] != 0) found[count++] = place;
  }
  if (count > 2) return 0;
  if (count < 1) found[count++] = 0;
  if (count < 2) found[count++] = found[0] == 3 ? 2 : 3;
  *first = found[0] < found[1] ? found[0] : found[1];
  *second = found[0] < found[1] ? found[1] : found[0];
  return 1;
}

int ck_halve_row(const void *row, size_t columns, void *half) {
  const uint8_t *from = (const uint8_t *)row;
  uint8_t *to = (uint8_t *)half;
  for (size_t at = 0; at < columns; at += 256, from += DENSE_BYTES, to += CK_HALF_BYTES) {
    memset(to + CK_HALF_PLACES, 0, CK_HALF_CODES - CK_HALF_PLACES);
    for (int block = 0; block < 8; block++) memcpy(to + 2 * block, from + DENSE_BLOCK * block, 2);
    for (size_t group = 0; group < 64; group++) {
      const uint8_t *codes = from + dense_place(4 * group);
      int first, second;
      if (!places(codes, &first, &second)) return 0;
      to[CK_HALF_PLACES + group / 2] |= (uint8_t)((first | second << 2) << group % 2 * 4);
      to[CK_HALF_CODES + 2 * group] = codes[first];
      to[CK_HALF_CODES + 2 * group + 1] = codes[second];
    }
  }
  return 1;
}

// The column of kept code `index`, of 256.
static inline size_t column_of(const uint8_t *half, size_t index) {
  return index / 2 * 4 + (half[CK_HALF_PLACES + index / 4] >> index % 4 * 2 & 3);
}

void ck_expand_row_scalar(const void *half, size_t columns, void *row) {
  const uint8_t *from = (const uint8_t *)half;
  uint8_t *to = (uint8_t *)row;
  memset(row, 0, columns / 256 * DENSE_BYTES);
  for (size_t at = 0; at < columns; at += 256, from += CK_HALF_BYTES, to += DENSE_BYTES) {
    for (int block = 0; block < 8; block++) memcpy(to + DENSE_BLOCK * block, from + 2 * block, 2);
    for (size_t i = 0; i < 128; i++) to[dense_place(column_of(from, i))] = from[CK_HALF_CODES + i];
  }
}

// One row times one token. Lane l of sum k collects the codes 4l … 4l + 3 of the 128 columns from 128k on; the lanes are added as
// at the end of any row.
static float half_dot_scalar(const uint8_t *row, size_t columns, const int8_t *a, const float *d) {
  float sums[2][16] = {{0}, {0}};
  for (size_t at = 0; at < columns; at += 256, row += CK_HALF_BYTES, a += 256, d += 8) {
    for (size_t lane = 0; lane < 32; lane++) {
      int32_t dot = 0;
      for (size_t i = 4 * lane; i < 4 * lane + 4; i++) {
        dot += (int8_t)row[CK_HALF_CODES + i] * a[column_of(row, i)];
      }
      uint16_t scale;
      memcpy(&scale, row + 2 * (lane / 4), 2);
      sums[lane / 16][lane % 16] += (float)dot * (ck_half_to_float(scale) * d[lane / 4]);
    }
  }
  float v[8];
  for (int lane = 0; lane < 8; lane++) {
    v[lane] = (sums[0][lane] + sums[0][lane + 8]) + (sums[1][lane] + sums[1][lane + 8]);
  }
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

void ck_multiply_half_rows_scalar(const void *rows, size_t row_count, size_t columns, const void *records,
                                  size_t tokens, float *y, size_t y_stride) {
  for (size_t t = 0; t < tokens; t++) {
    const int8_t *a = (const int8_t *)records + t * ck_record_bytes(columns);
    for (size_t r = 0; r < row_count; r++) {
      y[t * y_stride + r] = half_dot_scalar(
        (const uint8_t *)rows + r * ck_half_row_bytes(columns), columns, a, (const float *)(a + columns));
    }
  }
}

// Column j of eight has code 2g, 2g + 1 or none of group g = j / 4.
#define COLUMN(p, j) \
  ((uint64_t)((j) % 4 == ((p) >> 4 * ((j) / 4) & 3)       ? 2 * ((j) / 4) \
              : (j) % 4 == ((p) >> (4 * ((j) / 4) + 2) & 3) ? 2 * ((j) / 4) + 1 \
                                                            : 0x80) \
   << 8 * (j))
#define SPREAD(p) \
  COLUMN(p, 0) | COLUMN(p, 1) | COLUMN(p, 2) | COLUMN(p, 3) | COLUMN(p, 4) | COLUMN(p, 5) | COLUMN(p, 6) | COLUMN(p, 7)
#define MASK(p) (uint8_t)(1 << ((p) & 3) | 1 << ((p) >> 2 & 3) | 16 << ((p) >> 4 & 3) | 16 << ((p) >> 6 & 3))
#define FOUR(of, p) of(p), of(p + 1), of(p + 2), of(p + 3)
#define SIXTEEN(of, p) FOUR(of, p), FOUR(of, p + 4), FOUR(of, p + 8), FOUR(of, p + 12)
#define SIXTY_FOUR(of, p) SIXTEEN(of, p), SIXTEEN(of, p + 16), SIXTEEN(of, p + 32), SIXTEEN(of, p + 48)
#define ALL(of) {SIXTY_FOUR(of, 0), SIXTY_FOUR(of, 64), SIXTY_FOUR(of, 128), SIXTY_FOUR(of, 192)}

const uint64_t ck_half_spread[256] = ALL(SPREAD);
const uint8_t ck_half_masks[256] = ALL(MASK);

typedef void (*multiply_function)(const void *, size_t, size_t, const void *, size_t, float *, size_t);
typedef void (*expand_function)(const void *, size_t, void *);
typedef struct {
  multiply_function multiply;
  expand_function expand;
} half_functions;

// What serves the chosen instruction set; nothing where whole rows are as fast.
static half_functions functions(void) {
  const ck_kernels *set = ck_chosen_kernels();
#if defined(__x86_64__) && !defined(CK_SIMDE)
  if (set == &ck_kernels_avx512) {
    if (__builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2")) {
      return (half_functions){ck_multiply_half_rows_vbmi, ck_expand_row_vbmi};
    }
    set = &ck_kernels_avx2;
  }
#endif
  return (half_functions){set->multiply_half_rows, set->expand_half_row};
}

int ck_multiplies_halves(void) { return functions().multiply != NULL; }

void ck_expand_row(const void *half, size_t columns, void *row) {
  expand_function expand = functions().expand;
  if (!expand) expand = ck_expand_row_scalar;
  expand(half, columns, row);
}

void ck_multiply_half_rows(const void *rows, size_t row_count, size_t columns, const void *records,
                           size_t tokens, float *y, size_t y_stride) {
  multiply_function multiply = functions().multiply;
  if (!multiply) multiply = ck_multiply_half_rows_scalar;
  multiply(rows, row_count, columns, records, tokens, y, y_stride);
}
