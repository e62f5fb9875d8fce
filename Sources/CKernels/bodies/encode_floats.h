// Floats to narrower floats, to nearest even. No include guard.

// The bits of |x| rounded to a format with `mantissa` fraction bits and exponent bias `bias`; `x` lies below
// the format's overflow. Subnormals: adding a power of two aligns the last kept bit with a float's last bit.
CK_INLINE uint32_t CK(narrow)(uint32_t bits, const int mantissa, const int bias) {
  const int shift = 23 - mantissa;
  const uint32_t smallest_normal = (uint32_t)(128 - bias) << 23;
  const uint32_t magic = (uint32_t)(128 - bias + shift) << 23;
  float value, aligner;
  __builtin_memcpy(&value, &bits, 4);
  __builtin_memcpy(&aligner, &magic, 4);
  float aligned = value + aligner;
  uint32_t subnormal;
  __builtin_memcpy(&subnormal, &aligned, 4);
  subnormal -= magic;
  uint32_t odd = (bits >> shift) & 1;
  uint32_t normal = (bits - ((uint32_t)(127 - bias) << 23) + ((1u << (shift - 1)) - 1) + odd) >> shift;
  return bits < smallest_normal ? subnormal : normal;
}

CK_INLINE uint32_t CK(magnitude)(const float *x) {
  uint32_t bits;
  __builtin_memcpy(&bits, x, 4);
  return bits & 0x7fffffff;
}

CK_INLINE uint32_t CK(sign)(const float *x) {
  uint32_t bits;
  __builtin_memcpy(&bits, x, 4);
  return bits >> 31;
}

static void CK(encode_f16)(const float *restrict x, uint8_t *restrict bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = CK(magnitude)(x + i);
    uint32_t code = CK(narrow)(bits, 10, 15);
    code = bits >= 0x47800000 ? 0x7c00 : code;
    code = bits > 0x7f800000 ? 0x7e00 : code;
    uint16_t half = (uint16_t)(code | CK(sign)(x + i) << 15);
    __builtin_memcpy(bytes + 2 * i, &half, 2);
  }
}

static void CK(encode_bf16)(const float *restrict x, uint8_t *restrict bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = CK(magnitude)(x + i);
    uint32_t code = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    code = bits > 0x7f800000 ? bits >> 16 | 0x40 : code;
    uint16_t half = (uint16_t)(code | CK(sign)(x + i) << 15);
    __builtin_memcpy(bytes + 2 * i, &half, 2);
  }
}

static void CK(encode_f8_e4m3)(const float *restrict x, uint8_t *restrict bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = CK(magnitude)(x + i);
    uint32_t code = CK(narrow)(bits, 3, 7);
    code = bits >= 0x43f00000 ? 0x7f : code;
    bytes[i] = (uint8_t)(code | CK(sign)(x + i) << 7);
  }
}

static void CK(encode_f8_e5m2)(const float *restrict x, uint8_t *restrict bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = CK(magnitude)(x + i);
    uint32_t code = CK(narrow)(bits, 2, 15);
    code = bits >= 0x47800000 ? 0x7c : code;
    code = bits > 0x7f800000 ? 0x7f : code;
    bytes[i] = (uint8_t)(code | CK(sign)(x + i) << 7);
  }
}

static void CK(encode_floats)(int format, const float *x, void *bytes, size_t count) {
  switch (format) {
  case CK_F32: __builtin_memcpy(bytes, x, 4 * count); break;
  case CK_F16: CK(encode_f16)(x, bytes, count); break;
  case CK_BF16: CK(encode_bf16)(x, bytes, count); break;
  case CK_F8_E4M3: CK(encode_f8_e4m3)(x, bytes, count); break;
  case CK_F8_E5M2: CK(encode_f8_e5m2)(x, bytes, count); break;
  case CK_F64:
    for (size_t i = 0; i < count; i++) {
      double wide = (double)x[i];
      __builtin_memcpy((uint8_t *)bytes + 8 * i, &wide, 8);
    }
    break;
  }
}
