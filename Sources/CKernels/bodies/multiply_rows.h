// Products row by row, for one or few tokens. No include guard.

// The quantized activations of one token (see ck_record_bytes).
typedef struct {
  const int8_t *codes;
  const float *d, *sums32, *sums16;
} CK(record);

CK_INLINE CK(record) CK(open_record)(const void *records, size_t index, size_t columns) {
  const int8_t *base = (const int8_t *)records + index * ck_record_bytes(columns);
  const float *d = (const float *)(base + columns);
  size_t blocks = columns / 32;
  return (CK(record)){base, d, d + blocks, d + 2 * blocks};
}

static void CK(quantize_activations)(const float *x, size_t columns, void *record) {
#pragma clang fp contract(off)  // the codes are the same on every instruction set
  CK(record) r = CK(open_record)(record, 0, columns);
  int8_t *codes = (int8_t *)r.codes;
  float *d = (float *)r.d, *sums32 = (float *)r.sums32, *sums16 = (float *)r.sums16;
  for (size_t b = 0; b < columns / 32; b++, x += 32, codes += 32) {
    CK(f16v) low = CK(load)(x), high = CK(load)(x + 16);
    CK(f16v) large = __builtin_elementwise_max(
      __builtin_elementwise_abs(low), __builtin_elementwise_abs(high));
    CK(f16v) zeros = low * 0 + high * 0;  // NaN where a number is not finite
    float most = 0, poison = CK(sum16)(zeros);
    for (int i = 0; i < 16; i++) most = large[i] > most ? large[i] : most;
    float scale = most / 127;
    // 1 / scale overflows for the smallest subnormals: such a block counts as zero.
    float inverse = most > 0x1p-120f ? 127 / most : 0;
    if (inverse == 0) scale = 0;
    if (poison != 0) scale = poison;  // a NaN must not turn into a plausible result
    // Adding 1.5·2²³ rounds to nearest even and leaves the integer in the low bits.
    CK(i16v) i = (CK(i16v))(low * inverse + 0x1.8p23f) - 0x4b400000;
    CK(i16v) j = (CK(i16v))(high * inverse + 0x1.8p23f) - 0x4b400000;
    int32_t sum_low = 0, sum_high = 0;
    for (int k = 0; k < 16; k++) {
      codes[k] = (int8_t)i[k];
      codes[k + 16] = (int8_t)j[k];
      sum_low += i[k];
      sum_high += j[k];
    }
    d[b] = scale;
    sums32[b] = scale * (float)(sum_low + sum_high);
    sums16[2 * b] = scale * (float)sum_low;
    sums16[2 * b + 1] = scale * (float)sum_high;
  }
}

// One row times one token. Lane l of the sum collects the codes 4l .. 4l + 3 of every block; the offsets have a
// sum of their own.
CK_INLINE float CK(row_dot)(const int format, const uint8_t *row, size_t columns, CK(record) a) {
  const size_t block = CK(block)(format);
  const int group = CK(group)(format), kind = CK(kind)(format);
  uint8_t u[256] __attribute__((aligned(64)));
  float s[16] __attribute__((aligned(64))), m[16] __attribute__((aligned(64)));
  CK(f8v) sum = {0}, offsets = {0};
  float offset = 0;
  for (size_t at = 0; at < columns; at += block, row += CK(block_bytes)(format)) {
    CK(unpack)(format, row, u, s, m);
    for (size_t k = 0; k < block / 32; k++) {
      size_t b = at / 32 + k;
      CK(i8v) dot = kind == CK_KIND_WIDE ? CK(dot_signed)((const int8_t *)u + 32 * k, a.codes + 32 * b)
                                         : CK(dot_unsigned)(u + 32 * k, a.codes + 32 * b);
      CK(f8v) scale;
      if (group == 32) {
        scale = (CK(f8v)){0} + s[k] * a.d[b];
      } else {
        float even = s[2 * k] * a.d[b], odd = s[2 * k + 1] * a.d[b];
        scale = (CK(f8v)){even, even, even, even, odd, odd, odd, odd};
      }
      sum = __builtin_convertvector(dot, CK(f8v)) * scale + sum;
    }
    if (kind == CK_KIND_WIDE) continue;
    if (block == 32) {
      offset = m[0] * a.sums32[at / 32] + offset;
      continue;
    }
    const float *sums = group == 32 ? a.sums32 + at / 32 : a.sums16 + at / 16;
    for (int g = 0; g < 256 / group; g += 8) {
      CK(f8v) mv, sv;
      __builtin_memcpy(&mv, m + g, 32);
      __builtin_memcpy(&sv, sums + g, 32);
      offsets = mv * sv + offsets;
    }
  }
  sum += offsets;
  return (((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]))) + offset;
}

#define CK_FOR_EACH_BLOCK_FORMAT(DO) \
  DO(CK_Q4_0) DO(CK_Q4_1) DO(CK_Q5_0) DO(CK_Q5_1) DO(CK_Q8_0) DO(CK_Q2_K) DO(CK_Q3_K) DO(CK_Q4_K) \
  DO(CK_Q5_K) DO(CK_Q6_K) DO(CK_IQ4_NL) DO(CK_IQ4_XS)

static void CK(multiply_rows)(int format, const void *rows, size_t row_bytes, size_t row_count, size_t columns,
                              const void *records, size_t tokens, float *y, size_t y_stride) {
#define CK_CASE(F) \
  case F: \
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
