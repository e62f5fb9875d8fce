// Half rows in registers of 32 codes: the activations that meet a row's codes are chosen by the codes' places. The including file
// defines CK(half_dot_32) and CK(spread_16). No include guard.

// One row times one token, as half_dot_scalar has it.
CK_INLINE float CK(half_dot)(const uint8_t *row, size_t columns, CK(record) a) {
  CK(f8v) sum[4] = {{0}, {0}, {0}, {0}};
  for (size_t at = 0; at < columns; at += 256, row += CK_HALF_BYTES) {
    CK(prefetch)(row, CK_HALF_BYTES);
    CK(u8h) halves;
    CK(f8v) d;
    __builtin_memcpy(&halves, row, 16);
    __builtin_memcpy(&d, a.d + at / 32, 32);
    CK(f8v) s = CK(half_8)(halves) * d;
#pragma clang loop unroll(full)
    for (int k = 0; k < 4; k++) {
      CK(i8v) dot = CK(half_dot_32)(row + CK_HALF_CODES + 32 * k, row + CK_HALF_PLACES + 8 * k,
                                    a.codes + at + 64 * (size_t)k);
      float even = s[2 * k], odd = s[2 * k + 1];
      CK(f8v) v = {even, even, even, even, odd, odd, odd, odd};
      sum[k] = __builtin_convertvector(dot, CK(f8v)) * v + sum[k];
    }
  }
  return CK(end_row)(CK_Q8_0, row, columns, columns, a, sum);
}

static void CK(multiply_half_rows)(const void *rows, size_t row_count, size_t columns, const void *records,
                                   size_t tokens, float *y, size_t y_stride) {
  const size_t stride = columns / 256 * CK_HALF_BYTES;
  for (size_t r = 0; r < row_count; r++) {
    for (size_t t = 0; t < tokens; t++) {
      y[t * y_stride + r] = CK(half_dot)((const uint8_t *)rows + r * stride, columns,
                                         CK(open_record)(records, t, columns));
    }
  }
}

static void CK(expand_half_row)(const void *half, size_t columns, void *row) {
  const uint8_t *from = (const uint8_t *)half;
  uint8_t *to = (uint8_t *)row;
  for (size_t at = 0; at < columns; at += 256, from += CK_HALF_BYTES) {
    for (int block = 0; block < 8; block++, to += 34) {
      const uint8_t *places = from + CK_HALF_PLACES + 4 * block, *codes = from + CK_HALF_CODES + 16 * block;
      __builtin_memcpy(to, from + 2 * block, 2);
      CK(spread_16)(codes, ck_half_spread[places[0]], ck_half_spread[places[1]], to + 2);
      CK(spread_16)(codes + 8, ck_half_spread[places[2]], ck_half_spread[places[3]], to + 18);
    }
  }
}
