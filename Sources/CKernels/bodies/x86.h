// Primitives that AVX2 and AVX-512 share. No include guard.

CK_INLINE float CK(half)(const void *bytes) {
  uint16_t bits;
  __builtin_memcpy(&bits, bytes, 2);
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)));
}

CK_INLINE CK(f8v) CK(half_8)(CK(u8h) bits) {
  __m128i raw;
  __builtin_memcpy(&raw, &bits, 16);
  __m256 wide = _mm256_cvtph_ps(raw);
  CK(f8v) v;
  __builtin_memcpy(&v, &wide, 32);
  return v;
}

CK_INLINE CK(f16v) CK(half_16)(const void *bytes) {
#if defined(CK_ROWS_512) && !defined(CK_SIMDE)  // SIMDe does not have it
  return (CK(f16v))_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)bytes));
#else
  __m256 low = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)bytes));
  __m256 high = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)bytes + 1));
  CK(f16v) v;
  __builtin_memcpy(&v, &low, 32);
  __builtin_memcpy((char *)&v + 32, &high, 32);
  return v;
#endif
}

// Replaces 32 nibbles by the int8 values that they stand for in iq4_nl and iq4_xs.
CK_INLINE void CK(lookup)(uint8_t *u) {
  __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)ck_iq4_values));
  __m256i codes = _mm256_loadu_si256((const __m256i *)u);
  _mm256_storeu_si256((__m256i *)u, _mm256_shuffle_epi8(table, codes));
}

// Lane l: the sum of 4 products from 4l on, of 32. Codes are at most 63 here, or at most 128 in size.
CK_INLINE CK(i8v) CK(dot_bytes)(__m256i u, __m256i a) {
#ifdef CK_DPBUSD
  return (CK(i8v))CK_DPBUSD(_mm256_setzero_si256(), u, a);
#else
  return (CK(i8v))_mm256_madd_epi16(_mm256_maddubs_epi16(u, a), _mm256_set1_epi16(1));
#endif
}

CK_INLINE CK(i8v) CK(dot_unsigned)(const uint8_t *u, const int8_t *a) {
  return CK(dot_bytes)(_mm256_loadu_si256((const __m256i *)u), _mm256_loadu_si256((const __m256i *)a));
}

CK_INLINE CK(i8v) CK(dot_signed)(const int8_t *c, const int8_t *a) {
  __m256i codes = _mm256_loadu_si256((const __m256i *)c);
  __m256i signedA = _mm256_sign_epi8(_mm256_loadu_si256((const __m256i *)a), codes);
  return CK(dot_bytes)(_mm256_abs_epi8(codes), signedA);
}

// Four codes in every lane.
CK_INLINE __m256i CK(broadcast)(const int8_t *a) {
  int32_t four;
  __builtin_memcpy(&four, a, 4);
  return _mm256_set1_epi32(four);
}
