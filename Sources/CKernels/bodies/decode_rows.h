// Decoding of one row, format by format. decode.c includes this once for each instruction set, with
// NAME(x) giving the function its suffix; the compiler vectorises the loops for each. No include guard.

typedef uint16_t NAME(u16_any) __attribute__((aligned(1), may_alias));
typedef uint32_t NAME(u32_any) __attribute__((aligned(1), may_alias));
typedef float NAME(f32_any) __attribute__((aligned(1), may_alias));
typedef double NAME(f64_any) __attribute__((aligned(1), may_alias));

static void NAME(f64)(const void *bytes, float *restrict out, size_t count) {
  const NAME(f64_any) *x = bytes;
  for (size_t i = 0; i < count; i++) out[i] = (float)x[i];
}

static void NAME(f16)(const void *bytes, float *restrict out, size_t count) {
  const NAME(u16_any) *x = bytes;
  size_t i = 0;
#ifdef CK_HALVES
  for (; i + CK_HALVES <= count; i += CK_HALVES) NAME(halves)(x + i, out + i);
#endif
  for (; i < count; i++) out[i] = ck_half_to_float(x[i]);
}

static void NAME(bf16)(const void *bytes, float *restrict out, size_t count) {
  const NAME(u16_any) *x = bytes;
  NAME(u32_any) *y = (NAME(u32_any) *)out;
  for (size_t i = 0; i < count; i++) y[i] = (uint32_t)x[i] << 16;
}

// Sign, 4 exponent bits (bias 7), 3 fraction bits; no infinities, 0x7f and 0xff are NaN.
static void NAME(f8_e4m3)(const void *bytes, float *restrict out, size_t count) {
  const uint8_t *x = bytes;
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = (uint32_t)(x[i] & 0x7f) << 20;
    float value;
    __builtin_memcpy(&value, &bits, 4);
    value *= 0x1p120f;
    __builtin_memcpy(&bits, &value, 4);
    bits = (x[i] & 0x7f) == 0x7f ? 0x7ff00000u : bits;
    bits |= (uint32_t)(x[i] & 0x80) << 24;
    __builtin_memcpy(&out[i], &bits, 4);
  }
}

// The upper byte of a half; NaNs become quiet, as in PyTorch.
static void NAME(f8_e5m2)(const void *bytes, float *restrict out, size_t count) {
  const uint8_t *x = bytes;
  for (size_t i = 0; i < count; i++) {
    uint16_t quiet = (x[i] & 0x7f) > 0x7c ? 0x200 : 0;
    out[i] = ck_half_to_float((uint16_t)(x[i] << 8 | quiet));
  }
}

static void NAME(q8_0)(const void *bytes, float *restrict out, size_t count) {
  const ck_q8_0 *b = bytes;
  for (size_t i = 0; i < count / 32; i++, out += 32) {
    float d = ck_half_to_float(b[i].d);
    for (int j = 0; j < 32; j++) out[j] = d * (float)b[i].qs[j];
  }
}

static void NAME(q4_0)(const void *bytes, float *restrict out, size_t count) {
  const ck_q4_0 *b = bytes;
  for (size_t i = 0; i < count / 32; i++, out += 32) {
    float d = ck_half_to_float(b[i].d);
    for (int j = 0; j < 16; j++) out[j] = d * (float)((b[i].qs[j] & 15) - 8);
    for (int j = 0; j < 16; j++) out[j + 16] = d * (float)((b[i].qs[j] >> 4) - 8);
  }
}

static void NAME(q4_1)(const void *bytes, float *restrict out, size_t count) {
  const ck_q4_1 *b = bytes;
  for (size_t i = 0; i < count / 32; i++, out += 32) {
    float d = ck_half_to_float(b[i].d), m = ck_half_to_float(b[i].m);
    for (int j = 0; j < 16; j++) out[j] = d * (float)(b[i].qs[j] & 15) + m;
    for (int j = 0; j < 16; j++) out[j + 16] = d * (float)(b[i].qs[j] >> 4) + m;
  }
}

// The 32 codes of a block with its fifth bits apart.
static inline void NAME(five_bits)(const uint8_t *qs, const uint8_t *qh, uint8_t *restrict codes) {
  uint32_t high = (uint32_t)qh[0] | (uint32_t)qh[1] << 8 | (uint32_t)qh[2] << 16 | (uint32_t)qh[3] << 24;
  for (int j = 0; j < 16; j++) codes[j] = (uint8_t)((qs[j] & 15) | ((high >> j) & 1) << 4);
  for (int j = 0; j < 16; j++) codes[j + 16] = (uint8_t)((qs[j] >> 4) | ((high >> (j + 16)) & 1) << 4);
}

static void NAME(q5_0)(const void *bytes, float *restrict out, size_t count) {
  const ck_q5_0 *b = bytes;
  uint8_t codes[32];
  for (size_t i = 0; i < count / 32; i++, out += 32) {
    float d = ck_half_to_float(b[i].d);
    NAME(five_bits)(b[i].qs, b[i].qh, codes);
    for (int j = 0; j < 32; j++) out[j] = d * (float)(codes[j] - 16);
  }
}

static void NAME(q5_1)(const void *bytes, float *restrict out, size_t count) {
  const ck_q5_1 *b = bytes;
  uint8_t codes[32];
  for (size_t i = 0; i < count / 32; i++, out += 32) {
    float d = ck_half_to_float(b[i].d), m = ck_half_to_float(b[i].m);
    NAME(five_bits)(b[i].qs, b[i].qh, codes);
    for (int j = 0; j < 32; j++) out[j] = d * (float)codes[j] + m;
  }
}

static void NAME(iq4_nl)(const void *bytes, float *restrict out, size_t count) {
  const ck_iq4_nl *b = bytes;
  for (size_t i = 0; i < count / 32; i++, out += 32) {
    float d = ck_half_to_float(b[i].d);
    for (int j = 0; j < 16; j++) out[j] = d * (float)ck_iq4_values[b[i].qs[j] & 15];
    for (int j = 0; j < 16; j++) out[j + 16] = d * (float)ck_iq4_values[b[i].qs[j] >> 4];
  }
}

static void NAME(iq4_xs)(const void *bytes, float *restrict out, size_t count) {
  const ck_iq4_xs *b = bytes;
  for (size_t i = 0; i < count / 256; i++) {
    float d = ck_half_to_float(b[i].d);
    for (int group = 0; group < 8; group++, out += 32) {
      int low = (b[i].scales_l[group / 2] >> (4 * (group % 2))) & 15;
      int scale = (low | ((b[i].scales_h >> (2 * group)) & 3) << 4) - 32;
      float step = d * (float)scale;
      const uint8_t *qs = b[i].qs + 16 * group;
      for (int j = 0; j < 16; j++) out[j] = step * (float)ck_iq4_values[qs[j] & 15];
      for (int j = 0; j < 16; j++) out[j + 16] = step * (float)ck_iq4_values[qs[j] >> 4];
    }
  }
}

static void NAME(q2_k)(const void *bytes, float *restrict out, size_t count) {
  const ck_q2_k *b = bytes;
  for (size_t i = 0; i < count / 256; i++) {
    float d = ck_half_to_float(b[i].d), dmin = ck_half_to_float(b[i].dmin);
    for (int group = 0; group < 16; group++, out += 16) {
      float step = d * (float)(b[i].scales[group] & 15);
      float minimum = dmin * (float)(b[i].scales[group] >> 4);
      const uint8_t *qs = b[i].qs + 32 * (group / 8) + 16 * (group % 2);
      int shift = 2 * ((group % 8) / 2);
      for (int j = 0; j < 16; j++) out[j] = step * (float)((qs[j] >> shift) & 3) - minimum;
    }
  }
}

static void NAME(q3_k)(const void *bytes, float *restrict out, size_t count) {
  const ck_q3_k *b = bytes;
  for (size_t i = 0; i < count / 256; i++) {
    float d = ck_half_to_float(b[i].d);
    for (int group = 0; group < 16; group++, out += 16) {
      float step = d * (float)(ck_scale_q3_k(b[i].scales, group) - 32);
      const uint8_t *qs = b[i].qs + 32 * (group / 8) + 16 * (group % 2);
      const uint8_t *high = b[i].hmask + 16 * (group % 2);
      int shift = 2 * ((group % 8) / 2), bit = group / 2;
      for (int j = 0; j < 16; j++) {
        int code = ((qs[j] >> shift) & 3) - 4 + 4 * ((high[j] >> bit) & 1);
        out[j] = step * (float)code;
      }
    }
  }
}

static void NAME(q4_k)(const void *bytes, float *restrict out, size_t count) {
  const ck_q4_k *b = bytes;
  for (size_t i = 0; i < count / 256; i++) {
    float d = ck_half_to_float(b[i].d), dmin = ck_half_to_float(b[i].dmin);
    for (int group = 0; group < 8; group++, out += 32) {
      uint8_t scale, low;
      ck_scale_min_k4(b[i].scales, group, &scale, &low);
      float step = d * (float)scale, minimum = dmin * (float)low;
      const uint8_t *qs = b[i].qs + 32 * (group / 2);
      int shift = 4 * (group % 2);
      for (int j = 0; j < 32; j++) out[j] = step * (float)((qs[j] >> shift) & 15) - minimum;
    }
  }
}

static void NAME(q5_k)(const void *bytes, float *restrict out, size_t count) {
  const ck_q5_k *b = bytes;
  for (size_t i = 0; i < count / 256; i++) {
    float d = ck_half_to_float(b[i].d), dmin = ck_half_to_float(b[i].dmin);
    for (int group = 0; group < 8; group++, out += 32) {
      uint8_t scale, low;
      ck_scale_min_k4(b[i].scales, group, &scale, &low);
      float step = d * (float)scale, minimum = dmin * (float)low;
      const uint8_t *qs = b[i].qs + 32 * (group / 2);
      int shift = 4 * (group % 2);
      for (int j = 0; j < 32; j++) {
        int code = ((qs[j] >> shift) & 15) | ((b[i].qh[j] >> group) & 1) << 4;
        out[j] = step * (float)code - minimum;
      }
    }
  }
}

static void NAME(q6_k)(const void *bytes, float *restrict out, size_t count) {
  const ck_q6_k *b = bytes;
  for (size_t i = 0; i < count / 256; i++) {
    float d = ck_half_to_float(b[i].d);
    for (int group = 0; group < 16; group++, out += 16) {
      float step = d * (float)b[i].scales[group];
      int half = group / 8, quarter = (group % 8) / 2, side = 16 * (group % 2);
      const uint8_t *ql = b[i].ql + 64 * half + 32 * (quarter % 2) + side;
      const uint8_t *qh = b[i].qh + 32 * half + side;
      int low_shift = 4 * (quarter / 2), high_shift = 2 * quarter;
      for (int j = 0; j < 16; j++) {
        int code = ((ql[j] >> low_shift) & 15) | ((qh[j] >> high_shift) & 3) << 4;
        out[j] = step * (float)(code - 32);
      }
    }
  }
}

static void NAME(row)(int format, const void *bytes, float *out, size_t count) {
  switch (format) {
    case CK_F64: NAME(f64)(bytes, out, count); break;
    case CK_F32: __builtin_memcpy(out, bytes, count * sizeof(float)); break;
    case CK_F16: NAME(f16)(bytes, out, count); break;
    case CK_BF16: NAME(bf16)(bytes, out, count); break;
    case CK_F8_E4M3: NAME(f8_e4m3)(bytes, out, count); break;
    case CK_F8_E5M2: NAME(f8_e5m2)(bytes, out, count); break;
    case CK_Q4_0: NAME(q4_0)(bytes, out, count); break;
    case CK_Q4_1: NAME(q4_1)(bytes, out, count); break;
    case CK_Q5_0: NAME(q5_0)(bytes, out, count); break;
    case CK_Q5_1: NAME(q5_1)(bytes, out, count); break;
    case CK_Q8_0: NAME(q8_0)(bytes, out, count); break;
    case CK_Q2_K: NAME(q2_k)(bytes, out, count); break;
    case CK_Q3_K: NAME(q3_k)(bytes, out, count); break;
    case CK_Q4_K: NAME(q4_k)(bytes, out, count); break;
    case CK_Q5_K: NAME(q5_k)(bytes, out, count); break;
    case CK_Q6_K: NAME(q6_k)(bytes, out, count); break;
    case CK_IQ4_NL: NAME(iq4_nl)(bytes, out, count); break;
    case CK_IQ4_XS: NAME(iq4_xs)(bytes, out, count); break;
    default: __builtin_memset(out, 0, count * sizeof(float)); break;
  }
}
