// Half-empty rows of int8 codes: storing, expanding, and which body multiplies them.
#include "kernels.h"
#include "sparse.h"
#include <string.h>

enum { DENSE_BLOCK = 34, DENSE_BYTES = 8 * DENSE_BLOCK };

size_t ck_half_row_bytes(size_t columns) { return columns / 256 * CK_HALF_BYTES; }

int ck_halve_row(const void *row, size_t columns, void *half) {
  const uint8_t *from = (const uint8_t *)row;
  uint8_t *to = (uint8_t *)half;
  for (size_t at = 0; at < columns; at += 256, from += DENSE_BYTES, to += CK_HALF_BYTES) {
    memset(to, 0, CK_HALF_BYTES);
    for (int block = 0; block < 8; block++) memcpy(to + 2 * block, from + DENSE_BLOCK * block, 2);
    for (int k = 0; k < 4; k++) {
      uint64_t mask = 0;
      int kept = 0;
      for (int j = 0; j < 64; j++) {
        uint8_t code = from[DENSE_BLOCK * (2 * k + j / 32) + 2 + j % 32];
        if (code == 0) continue;
        if (kept == 32) return 0;
        mask |= (uint64_t)1 << j;
        to[CK_HALF_CODES + 32 * k + kept++] = code;
      }
      memcpy(to + CK_HALF_MASKS + 8 * k, &mask, 8);
    }
  }
  return 1;
}

static void expand_row_scalar(const void *half, size_t columns, void *row) {
  const uint8_t *from = (const uint8_t *)half;
  uint8_t *to = (uint8_t *)row;
  for (size_t at = 0; at < columns; at += 256, from += CK_HALF_BYTES, to += DENSE_BYTES) {
    for (int block = 0; block < 8; block++) memcpy(to + DENSE_BLOCK * block, from + 2 * block, 2);
    for (int k = 0; k < 4; k++) {
      const uint8_t *codes = from + CK_HALF_CODES + 32 * k;
      uint64_t mask;
      memcpy(&mask, from + CK_HALF_MASKS + 8 * k, 8);
      for (int j = 0; j < 64; j++) {
        to[DENSE_BLOCK * (2 * k + j / 32) + 2 + j % 32] = mask >> j & 1 ? *codes++ : 0;
      }
    }
  }
}

#if defined(__x86_64__) && !defined(CK_SIMDE)
int ck_multiplies_halves(void) {
  return !strcmp(ck_instruction_set(), ck_kernels_avx512.name) && __builtin_cpu_supports("avx512vbmi2");
}
#else
int ck_multiplies_halves(void) { return 0; }
#endif

void ck_expand_row(const void *half, size_t columns, void *row) {
#if defined(__x86_64__) && !defined(CK_SIMDE)
  if (ck_multiplies_halves()) return ck_expand_row_vbmi2(half, columns, row);
#endif
  expand_row_scalar(half, columns, row);
}

void ck_multiply_half_rows(const void *rows, size_t row_count, size_t columns, const void *records,
                           size_t tokens, float *y, size_t y_stride, void *scratch) {
#if defined(__x86_64__) && !defined(CK_SIMDE)
  if (ck_multiplies_halves()) {
    return ck_multiply_half_rows_vbmi2(rows, row_count, columns, records, tokens, y, y_stride);
  }
#endif
  for (size_t r = 0; r < row_count; r++) {
    expand_row_scalar((const uint8_t *)rows + r * ck_half_row_bytes(columns), columns, scratch);
    ck_multiply_rows(CK_Q8_0, scratch, 0, 1, columns, records, tokens, y + r, y_stride);
  }
}
