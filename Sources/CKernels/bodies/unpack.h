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

CK_INLINE void CK(nibbles)(const uint8_t *qs, uint8_t *restrict u, int bytes) {
  for (int j = 0; j < bytes; j++) u[j] = qs[j] & 15;
  for (int j = 0; j < bytes; j++) u[j + bytes] = qs[j] >> 4;
}

// Adds bit j of qh as the fifth bit of code j.
CK_INLINE void CK(fifth_bits)(const uint8_t *qh, uint8_t *restrict u) {
  for (int byte = 0; byte < 4; byte++) {
    for (int j = 0; j < 8; j++) u[8 * byte + j] |= (uint8_t)(((qh[byte] >> j) & 1) << 4);
  }
}

CK_INLINE void CK(unpack_small)(const int format, const uint8_t *b, uint8_t *u, float *s, float *m) {
  float d = CK(half)(b);
  *s = d;
  switch (format) {
  case CK_Q4_0:
    CK(nibbles)(b + 2, u, 16);
    *m = -8 * d;
    break;
  case CK_Q4_1:
    CK(nibbles)(b + 4, u, 16);
    *m = CK(half)(b + 2);
    break;
  case CK_Q5_0:
    CK(nibbles)(b + 6, u, 16);
    CK(fifth_bits)(b + 2, u);
    *m = -16 * d;
    break;
  case CK_Q5_1:
    CK(nibbles)(b + 8, u, 16);
    CK(fifth_bits)(b + 4, u);
    *m = CK(half)(b + 2);
    break;
  case CK_Q8_0:
    __builtin_memcpy(u, b + 2, 32);
    *m = 0;
    break;
  default:
    CK(nibbles)(b + 2, u, 16);
    CK(lookup)(u);
    *m = 0;
  }
}

// q4_k and q5_k share their scales: 8 six-bit scales, 8 six-bit minima.
CK_INLINE void CK(scales_k4)(const uint8_t *packed, float d, float dmin, float *s, float *m) {
  uint32_t w[3];
  __builtin_memcpy(w, packed, 12);
  uint32_t codes[4] = {
    w[0] & 0x3f3f3f3f, (w[2] & 0x0f0f0f0f) | ((w[0] >> 2) & 0x30303030),
    w[1] & 0x3f3f3f3f, ((w[2] >> 4) & 0x0f0f0f0f) | ((w[1] >> 2) & 0x30303030)};
  const uint8_t *byte = (const uint8_t *)codes;
  for (int j = 0; j < 8; j++) s[j] = d * (float)byte[j];
  for (int j = 0; j < 8; j++) m[j] = -dmin * (float)byte[8 + j];
}

CK_INLINE void CK(unpack_q2_k)(const uint8_t *bytes, uint8_t *restrict u, float *s, float *m) {
  const ck_q2_k *b = (const ck_q2_k *)bytes;
  float d = CK(half)(&b->d), dmin = CK(half)(&b->dmin);
  for (int j = 0; j < 16; j++) s[j] = d * (float)(b->scales[j] & 15);
  for (int j = 0; j < 16; j++) m[j] = -dmin * (float)(b->scales[j] >> 4);
  for (int h = 0; h < 2; h++) {
    for (int k = 0; k < 4; k++) {
      for (int l = 0; l < 32; l++) u[128 * h + 32 * k + l] = (b->qs[32 * h + l] >> (2 * k)) & 3;
    }
  }
}

CK_INLINE void CK(unpack_q3_k)(const uint8_t *bytes, uint8_t *restrict u, float *s, float *m) {
  const ck_q3_k *b = (const ck_q3_k *)bytes;
  float d = CK(half)(&b->d);
  for (int j = 0; j < 16; j++) {
    s[j] = d * (float)(ck_scale_q3_k(b->scales, j) - 32);
    m[j] = -4 * s[j];
  }
  for (int h = 0; h < 2; h++) {
    for (int k = 0; k < 4; k++) {
      for (int l = 0; l < 32; l++) {
        u[128 * h + 32 * k + l] =
          (uint8_t)(((b->qs[32 * h + l] >> (2 * k)) & 3) | ((b->hmask[l] >> (4 * h + k)) & 1) << 2);
      }
    }
  }
}

CK_INLINE void CK(unpack_q4_k)(const uint8_t *bytes, uint8_t *restrict u, float *s, float *m) {
  const ck_q4_k *b = (const ck_q4_k *)bytes;
  CK(scales_k4)(b->scales, CK(half)(&b->d), CK(half)(&b->dmin), s, m);
  for (int k = 0; k < 4; k++) CK(nibbles)(b->qs + 32 * k, u + 64 * k, 32);
}

CK_INLINE void CK(unpack_q5_k)(const uint8_t *bytes, uint8_t *restrict u, float *s, float *m) {
  const ck_q5_k *b = (const ck_q5_k *)bytes;
  CK(scales_k4)(b->scales, CK(half)(&b->d), CK(half)(&b->dmin), s, m);
  for (int k = 0; k < 4; k++) {
    for (int l = 0; l < 32; l++) {
      u[64 * k + l] = (uint8_t)((b->qs[32 * k + l] & 15) | ((b->qh[l] >> (2 * k)) & 1) << 4);
      u[64 * k + 32 + l] = (uint8_t)((b->qs[32 * k + l] >> 4) | ((b->qh[l] >> (2 * k + 1)) & 1) << 4);
    }
  }
}

CK_INLINE void CK(unpack_q6_k)(const uint8_t *bytes, uint8_t *restrict u, float *s, float *m) {
  const ck_q6_k *b = (const ck_q6_k *)bytes;
  float d = CK(half)(&b->d);
  for (int j = 0; j < 16; j++) s[j] = d * (float)b->scales[j];
  for (int j = 0; j < 16; j++) m[j] = -32 * s[j];
  for (int h = 0; h < 2; h++) {
    const uint8_t *low = b->ql + 64 * h, *high = b->qh + 32 * h;
    for (int k = 0; k < 2; k++) {
      uint8_t *v = u + 128 * h + 32 * k;
      for (int l = 0; l < 32; l++) {
        v[l] = (uint8_t)((low[32 * k + l] & 15) | ((high[l] >> (2 * k)) & 3) << 4);
        v[l + 64] = (uint8_t)((low[32 * k + l] >> 4) | ((high[l] >> (2 * k + 4)) & 3) << 4);
      }
    }
  }
}

CK_INLINE void CK(unpack_iq4_xs)(const uint8_t *bytes, uint8_t *restrict u, float *s, float *m) {
  const ck_iq4_xs *b = (const ck_iq4_xs *)bytes;
  float d = CK(half)(&b->d);
  uint32_t high = b->scales_h;
  for (int j = 0; j < 8; j++) {
    uint32_t low = (b->scales_l[j / 2] >> (4 * (j % 2))) & 15;
    s[j] = d * (float)((int)(low | ((high >> (2 * j)) & 3) << 4) - 32);
    m[j] = 0;
    CK(nibbles)(b->qs + 16 * j, u + 32 * j, 16);
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
  default: CK(unpack_small)(format, b, u, s, m);
  }
}
