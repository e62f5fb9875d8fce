// What half_rows.h needs, for AVX2. No include guard.

// 32 codes times those of 64 activations that they meet: lane l has codes 4l … 4l + 3.
CK_INLINE CK(i8v) CK(half_dot_32)(const uint8_t *codes, const uint8_t *places, const int8_t *a) {
  // Byte i of each 16: the first column of its group, of the 16 columns that 8 codes come from.
  const __m256i groups = _mm256_set1_epi64x(0x0c0c080804040000);
  // Four places of two bits to four bytes.
  __m256i index = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)places));
  index = _mm256_or_si256(index, _mm256_slli_epi32(index, 12));
  index = _mm256_or_si256(index, _mm256_slli_epi32(index, 6));
  index = _mm256_or_si256(_mm256_and_si256(index, _mm256_set1_epi8(3)), groups);
  const __m128i *from = (const __m128i *)a;
  __m256i even = _mm256_inserti128_si256(
    _mm256_castsi128_si256(_mm_loadu_si128(from)), _mm_loadu_si128(from + 2), 1);
  __m256i odd = _mm256_inserti128_si256(
    _mm256_castsi128_si256(_mm_loadu_si128(from + 1)), _mm_loadu_si128(from + 3), 1);
  __m256i chosen = _mm256_blend_epi32(
    _mm256_shuffle_epi8(even, index), _mm256_shuffle_epi8(odd, index), 0xcc);
  __m256i u = _mm256_loadu_si256((const __m256i *)codes);
  return CK(dot_bytes)(_mm256_abs_epi8(u), _mm256_sign_epi8(chosen, u));
}

// Eight codes to the 16 columns that they belong to.
CK_INLINE void CK(spread_16)(const uint8_t *codes, uint64_t first, uint64_t second, uint8_t *columns) {
  __m128i index = _mm_set_epi64x((long long)(second + 0x0404040404040404), (long long)first);
  __m128i eight = _mm_loadl_epi64((const __m128i *)codes);
  _mm_storeu_si128((__m128i *)columns, _mm_shuffle_epi8(eight, index));
}
