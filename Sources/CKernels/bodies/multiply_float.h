// Products with float weights, row by row. No include guard.

// Four sums of 16 lanes each hide the latency of a fused multiply-add.
static float CK(dot)(const float *x, const float *y, size_t count) {
  CK(f16v) a = {0}, b = {0};
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    a = CK(load)(x + i) * CK(load)(y + i) + a;
    b = CK(load)(x + i + 16) * CK(load)(y + i + 16) + b;
  }
  if (i + 16 <= count) {
    a = CK(load)(x + i) * CK(load)(y + i) + a;
    i += 16;
  }
  float rest = 0;
  for (; i < count; i++) rest = x[i] * y[i] + rest;
  return CK(sum16)(a + b) + rest;
}

static double CK(dot_wide)(const float *x, const float *y, size_t count) {
  CK(d16v) a = {0};
  size_t i = 0;
  for (; i + 16 <= count; i += 16) a = CK(widen)(CK(load)(x + i)) * CK(widen)(CK(load)(y + i)) + a;
  double rest = 0;
  for (; i < count; i++) rest += (double)x[i] * (double)y[i];
  return CK(sum16d)(a) + rest;
}

CK_INLINE CK(f16v) CK(bf16_16)(const uint8_t *x) {
  typedef uint16_t half16 __attribute__((vector_size(32)));
  half16 bits;
  __builtin_memcpy(&bits, x, 32);
  return (CK(f16v))(__builtin_convertvector(bits, CK(u16v)) << 16);
}

CK_INLINE CK(f16v) CK(stored_16)(const int format, const uint8_t *row, size_t index) {
  if (format == CK_BF16) return CK(bf16_16)(row + 2 * index);
  if (format == CK_F16) return CK(half_16)(row + 2 * index);
  CK(f16v) v;
  __builtin_memcpy(&v, row + 4 * index, 64);
  return v;
}

CK_INLINE float CK(stored_1)(const int format, const uint8_t *row, size_t index) {
  if (format == CK_F16) return CK(half)(row + 2 * index);
  uint32_t bits = 0;
  if (format == CK_BF16) {
    __builtin_memcpy((uint8_t *)&bits + 2, row + 2 * index, 2);
  } else {
    __builtin_memcpy(&bits, row + 4 * index, 4);
  }
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

// A row times a token, each of them in a format of its own.
CK_INLINE float CK(stored_dot)(const int format, const uint8_t *row, const int x_format, const uint8_t *x,
                               size_t count) {
  const size_t size = format == CK_F32 ? 4 : 2;
  CK(f16v) a = {0}, b = {0};
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    CK(prefetch)(row + size * i, 32 * size);
    a = CK(stored_16)(format, row, i) * CK(stored_16)(x_format, x, i) + a;
    b = CK(stored_16)(format, row, i + 16) * CK(stored_16)(x_format, x, i + 16) + b;
  }
  if (i + 16 <= count) {
    a = CK(stored_16)(format, row, i) * CK(stored_16)(x_format, x, i) + a;
    i += 16;
  }
  float rest = 0;
  for (; i < count; i++) rest = CK(stored_1)(format, row, i) * CK(stored_1)(x_format, x, i) + rest;
  return CK(sum16)(a + b) + rest;
}

CK_INLINE void CK(multiply_row)(const int x_format, int format, const uint8_t *row, size_t columns, const uint8_t *x,
                                size_t tokens, float *y, size_t y_stride, const float *decoded) {
  const size_t stride = columns * (x_format == CK_F32 ? 4 : 2);
  for (size_t t = 0; t < tokens; t++) {
    const uint8_t *v = x + t * stride;
    float *out = y + t * y_stride;
    switch (format) {
    case CK_F32: *out = CK(stored_dot)(CK_F32, row, x_format, v, columns); break;
    case CK_F16: *out = CK(stored_dot)(CK_F16, row, x_format, v, columns); break;
    case CK_BF16: *out = CK(stored_dot)(CK_BF16, row, x_format, v, columns); break;
    default: *out = CK(stored_dot)(CK_F32, (const uint8_t *)decoded, x_format, v, columns);
    }
  }
}

static void CK(multiply_float_rows)(int format, const void *rows, size_t row_bytes, size_t row_count,
                                    size_t columns, int x_format, const void *x, size_t tokens, float *y,
                                    size_t y_stride, float *scratch) {
  for (size_t r = 0; r < row_count; r++) {
    const uint8_t *row = (const uint8_t *)rows + r * row_bytes;
    if (format != CK_F32 && format != CK_BF16 && format != CK_F16) {
      ck_decode_row(format, row, scratch, columns);
    }
    if (x_format == CK_F16) {
      CK(multiply_row)(CK_F16, format, row, columns, x, tokens, y + r, y_stride, scratch);
    } else {
      CK(multiply_row)(CK_F32, format, row, columns, x, tokens, y + r, y_stride, scratch);
    }
  }
}
