// Block formats to the unified form: codes u (0..63, or int8 in the "wide" formats), and for each group of 16
// or 32 a scale s and an offset m, with w = s·u + m. No include guard.

CK_INLINE int CK(kind)(const int format) {
  switch (format) {
  case CK_Q5_0: case CK_Q5_1: case CK_Q5_K: return CK_KIND_5;
  case CK_Q6_K: return CK_KIND_6;
  case CK_Q8_0: case CK_IQ4_NL: case CK_IQ4_XS: return CK_KIND_WIDE;
  default: return CK_KIND_4;
  }
}

CK_INLINE int CK(group)(const int format) {
  return format == CK_Q2_K || format == CK_Q3_K || format == CK_Q6_K ? 16 : 32;
}

// The weights that unpack handles at a time, and the bytes they take.
CK_INLINE size_t CK(block)(const int format) {
  switch (format) {
  case CK_Q4_0: case CK_Q4_1: case CK_Q5_0: case CK_Q5_1: case CK_Q8_0: case CK_IQ4_NL: return 32;
  default: return 256;
  }
}

CK_INLINE size_t CK(block_bytes)(const int format) {
  switch (format) {
  case CK_Q4_0: return sizeof(ck_q4_0);
  case CK_Q4_1: return sizeof(ck_q4_1);
  case CK_Q5_0: return sizeof(ck_q5_0);
  case CK_Q5_1: return sizeof(ck_q5_1);
  case CK_Q8_0: return sizeof(ck_q8_0);
  case CK_Q2_K: return sizeof(ck_q2_k);
  case CK_Q3_K: return sizeof(ck_q3_k);
  case CK_Q4_K: return sizeof(ck_q4_k);
  case CK_Q5_K: return sizeof(ck_q5_k);
  case CK_Q6_K: return sizeof(ck_q6_k);
  case CK_IQ4_NL: return sizeof(ck_iq4_nl);
  default: return sizeof(ck_iq4_xs);
  }
}

// Vectors are stored whole wherever they are read whole soon after: a load that spans two younger stores
// waits for both.

// The nibbles of 16 bytes: the low ones first.
CK_INLINE void CK(nibbles_32)(const uint8_t *qs, uint8_t *u) {
  CK(u16b) q;
  __builtin_memcpy(&q, qs, 16);
  CK(u16b) low = q & 15, high = q >> 4;
  CK(u32v) codes = __builtin_shufflevector(
    low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
    26, 27, 28, 29, 30, 31);
  __builtin_memcpy(u, &codes, 32);
}

// The nibbles of 32 bytes.
CK_INLINE void CK(nibbles_64)(const uint8_t *qs, uint8_t *u) {
  CK(u32v) q;
  __builtin_memcpy(&q, qs, 32);
  CK(u32v) low = q & 15, high = q >> 4;
  __builtin_memcpy(u, &low, 32);
  __builtin_memcpy(u + 32, &high, 32);
}

// Eight bytes, as floats.
CK_INLINE CK(f8v) CK(bytes_8)(uint32_t low, uint32_t high) {
  typedef uint8_t bytes __attribute__((vector_size(8)));
  uint64_t both = (uint64_t)high << 32 | low;
  bytes b;
  __builtin_memcpy(&b, &both, 8);
  return __builtin_convertvector(b, CK(f8v));
}

CK_INLINE void CK(store_8)(float *x, CK(f8v) v) { __builtin_memcpy(x, &v, 32); }

// Adds bit j of qh as the fifth bit of code j.
CK_INLINE void CK(fifth_bits)(const uint8_t *qh, uint8_t *restrict u) {
  typedef uint32_t words __attribute__((vector_size(32)));
  const CK(u32v) bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128,
                        1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  uint32_t high;
  __builtin_memcpy(&high, qh, 4);
  CK(u32v) all = (CK(u32v))((words){0} + high);
  CK(u32v) spread = __builtin_shufflevector(
    all, all, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 18, 18, 18, 18, 18, 18, 18, 18, 19, 19, 19, 19,
    19, 19, 19, 19);
  CK(u32v) codes;
  __builtin_memcpy(&codes, u, 32);
  codes |= (CK(u32v))((spread & bit) == bit) & 16;
  __builtin_memcpy(u, &codes, 32);
}

// The codes of a block of 32; its scale is the half at its start, an offset that it stores the half after.
CK_INLINE void CK(codes_32)(const int format, const uint8_t *b, uint8_t *u) {
  switch (format) {
  case CK_Q8_0: __builtin_memcpy(u, b + 2, 32); break;
  case CK_Q4_0: CK(nibbles_32)(b + 2, u); break;
  case CK_Q4_1: CK(nibbles_32)(b + 4, u); break;
  case CK_Q5_0:
    CK(nibbles_32)(b + 6, u);
    CK(fifth_bits)(b + 2, u);
    break;
  case CK_Q5_1:
    CK(nibbles_32)(b + 8, u);
    CK(fifth_bits)(b + 4, u);
    break;
  default:
    CK(nibbles_32)(b + 2, u);
    CK(lookup)(u);
  }
}

// The number that is taken off every code of a block of 32, where the block stores no offset.
CK_INLINE float CK(center)(const int format) { return format == CK_Q4_0 ? 8 : format == CK_Q5_0 ? 16 : 0; }

CK_INLINE int CK(stores_offset)(const int format) { return format == CK_Q4_1 || format == CK_Q5_1; }

CK_INLINE void CK(unpack_32)(const int format, const uint8_t *b, uint8_t *u, float *s, float *m) {
  CK(codes_32)(format, b, u);
  *s = CK(half)(b);
  *m = CK(stores_offset)(format) ? CK(half)(b + 2) : -CK(center)(format) * *s;
}

// Eight halves, `stride` bytes apart.
CK_INLINE CK(f8v) CK(halves_8)(const uint8_t *b, size_t stride) {
  uint16_t h[8];
  for (int i = 0; i < 8; i++) __builtin_memcpy(h + i, b + (size_t)i * stride, 2);
  CK(u8h) bits = {h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]};
  return CK(half_8)(bits);
}

// Eight blocks of 32.
CK_INLINE void CK(unpack_8)(const int format, const uint8_t *b, uint8_t *u, float *s, float *m) {
  const size_t bytes = CK(block_bytes)(format);
  for (int i = 0; i < 8; i++) CK(codes_32)(format, b + (size_t)i * bytes, u + 32 * i);
  CK(f8v) scales = CK(halves_8)(b, bytes);
  CK(store_8)(s, scales);
  CK(store_8)(m, CK(stores_offset)(format) ? CK(halves_8)(b + 2, bytes) : scales * -CK(center)(format));
}

// q4_k and q5_k share their scales: 8 six-bit scales, 8 six-bit minima.
CK_INLINE void CK(scales_k4)(const uint8_t *packed, float d, float dmin, float *s, float *m) {
  uint32_t w[3];
  __builtin_memcpy(w, packed, 12);
  uint32_t scale_high = (w[2] & 0x0f0f0f0f) | ((w[0] >> 2) & 0x30303030);
  uint32_t minimum_high = ((w[2] >> 4) & 0x0f0f0f0f) | ((w[1] >> 2) & 0x30303030);
  CK(store_8)(s, CK(bytes_8)(w[0] & 0x3f3f3f3f, scale_high) * d);
  CK(store_8)(m, CK(bytes_8)(w[1] & 0x3f3f3f3f, minimum_high) * -dmin);
}

CK_INLINE CK(u32v) CK(load_32)(const uint8_t *b) {
  CK(u32v) v;
  __builtin_memcpy(&v, b, 32);
  return v;
}

CK_INLINE void CK(store_32)(uint8_t *u, CK(u32v) v) { __builtin_memcpy(u, &v, 32); }

CK_INLINE void CK(unpack_q2_k)(const uint8_t *bytes, uint8_t *u, float *s, float *m) {
  const ck_q2_k *b = (const ck_q2_k *)bytes;
  CK(u16b) packed;
  __builtin_memcpy(&packed, b->scales, 16);
  CK(store)(s, __builtin_convertvector(packed & 15, CK(f16v)) * CK(half)(&b->d));
  CK(store)(m, __builtin_convertvector(packed >> 4, CK(f16v)) * -CK(half)(&b->dmin));
#pragma clang loop unroll(full)
  for (int h = 0; h < 2; h++) {
    CK(u32v) q = CK(load_32)(b->qs + 32 * h);
#pragma clang loop unroll(full)
    for (int k = 0; k < 4; k++) CK(store_32)(u + 128 * h + 32 * k, (q >> (2 * k)) & 3);
  }
}

CK_INLINE void CK(unpack_q3_k)(const uint8_t *bytes, uint8_t *u, float *s, float *m) {
  const ck_q3_k *b = (const ck_q3_k *)bytes;
  float d = CK(half)(&b->d);
  uint32_t w[3];
  __builtin_memcpy(w, b->scales, 12);
  CK(f8v) low = CK(bytes_8)((w[0] & 0x0f0f0f0f) | ((w[2] << 4) & 0x30303030),
                            (w[1] & 0x0f0f0f0f) | ((w[2] << 2) & 0x30303030));
  CK(f8v) high = CK(bytes_8)(((w[0] >> 4) & 0x0f0f0f0f) | (w[2] & 0x30303030),
                             ((w[1] >> 4) & 0x0f0f0f0f) | ((w[2] >> 2) & 0x30303030));
  low = (low - 32) * d;
  high = (high - 32) * d;
  CK(store_8)(s, low);
  CK(store_8)(s + 8, high);
  CK(store_8)(m, low * -4);
  CK(store_8)(m + 8, high * -4);
  CK(u32v) mask = CK(load_32)(b->hmask);
#pragma clang loop unroll(full)
  for (int h = 0; h < 2; h++) {
    CK(u32v) q = CK(load_32)(b->qs + 32 * h);
#pragma clang loop unroll(full)
    for (int k = 0; k < 4; k++) {
      CK(u32v) third = ((mask >> (4 * h + k)) & 1) << 2;
      CK(store_32)(u + 128 * h + 32 * k, ((q >> (2 * k)) & 3) | third);
    }
  }
}

CK_INLINE void CK(unpack_q4_k)(const uint8_t *bytes, uint8_t *restrict u, float *s, float *m) {
  const ck_q4_k *b = (const ck_q4_k *)bytes;
  CK(scales_k4)(b->scales, CK(half)(&b->d), CK(half)(&b->dmin), s, m);
  for (int k = 0; k < 4; k++) CK(nibbles_64)(b->qs + 32 * k, u + 64 * k);
}

CK_INLINE void CK(unpack_q5_k)(const uint8_t *bytes, uint8_t *u, float *s, float *m) {
  const ck_q5_k *b = (const ck_q5_k *)bytes;
  CK(scales_k4)(b->scales, CK(half)(&b->d), CK(half)(&b->dmin), s, m);
  CK(u32v) high = CK(load_32)(b->qh);
#pragma clang loop unroll(full)
  for (int k = 0; k < 4; k++) {
    CK(u32v) q = CK(load_32)(b->qs + 32 * k);
    CK(store_32)(u + 64 * k, (q & 15) | ((high >> (2 * k)) & 1) << 4);
    CK(store_32)(u + 64 * k + 32, (q >> 4) | ((high >> (2 * k + 1)) & 1) << 4);
  }
}

CK_INLINE void CK(unpack_q6_k)(const uint8_t *bytes, uint8_t *u, float *s, float *m) {
  const ck_q6_k *b = (const ck_q6_k *)bytes;
  CK(b16v) packed;
  __builtin_memcpy(&packed, b->scales, 16);
  CK(f16v) scales = __builtin_convertvector(packed, CK(f16v)) * CK(half)(&b->d);
  CK(store)(s, scales);
  CK(store)(m, scales * -32);
#pragma clang loop unroll(full)
  for (int h = 0; h < 2; h++) {
    CK(u32v) even = CK(load_32)(b->ql + 64 * h), odd = CK(load_32)(b->ql + 64 * h + 32);
    CK(u32v) high = CK(load_32)(b->qh + 32 * h);
    CK(store_32)(u + 128 * h, (even & 15) | ((high & 3) << 4));
    CK(store_32)(u + 128 * h + 32, (odd & 15) | ((high << 2) & 0x30));
    CK(store_32)(u + 128 * h + 64, (even >> 4) | (high & 0x30));
    CK(store_32)(u + 128 * h + 96, (odd >> 4) | ((high >> 2) & 0x30));
  }
}

CK_INLINE void CK(unpack_iq4_xs)(const uint8_t *bytes, uint8_t *restrict u, float *s, float *m) {
  const ck_iq4_xs *b = (const ck_iq4_xs *)bytes;
  const CK(i8v) shifts = {0, 4, 8, 12, 16, 20, 24, 28};
  uint32_t low;
  __builtin_memcpy(&low, b->scales_l, 4);
  CK(i8v) codes = (((CK(i8v)){0} + (int32_t)low) >> shifts) & 15;
  codes |= ((((CK(i8v)){0} + (int32_t)b->scales_h) >> (shifts / 2)) & 3) << 4;
  CK(store_8)(s, __builtin_convertvector(codes - 32, CK(f8v)) * CK(half)(&b->d));
  CK(store_8)(m, (CK(f8v)){0});
  for (int j = 0; j < 8; j++) {
    CK(nibbles_32)(b->qs + 16 * j, u + 32 * j);
    CK(lookup)(u + 32 * j);
  }
}

// Unpacks one block of `format`: block(format) codes, and a scale and an offset a group.
CK_INLINE void CK(unpack)(const int format, const uint8_t *b, uint8_t *u, float *s, float *m) {
  switch (format) {
  case CK_Q2_K: CK(unpack_q2_k)(b, u, s, m); break;
  case CK_Q3_K: CK(unpack_q3_k)(b, u, s, m); break;
  case CK_Q4_K: CK(unpack_q4_k)(b, u, s, m); break;
  case CK_Q5_K: CK(unpack_q5_k)(b, u, s, m); break;
  case CK_Q6_K: CK(unpack_q6_k)(b, u, s, m); break;
  case CK_IQ4_XS: CK(unpack_iq4_xs)(b, u, s, m); break;
  default: CK(unpack_32)(format, b, u, s, m);
  }
}
