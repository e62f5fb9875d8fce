// Products row by row with codes that go from the row to registers of 32, for AVX2. No include guard.
//
// The sums are those of CK(add_256), bit for bit. Formats that are not named here go through the stack, or eight rows at a
// time (rows_8.h).

// The scales and offsets of 256 weights: 8, or 16.
typedef struct {
  float s[16], m[16];
} CK(factors);

CK_INLINE __m256i CK(load_256)(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

CK_INLINE int CK(reads_codes)(const int format) {
  switch (format) {
  case CK_Q4_0: case CK_Q8_0: case CK_IQ4_NL: case CK_Q6_K: return 1;
  default: return 0;
  }
}

// Low or high nibbles of 32 bytes.
CK_INLINE __m256i CK(half_bytes)(__m256i q, const int high) {
  return _mm256_and_si256(high ? _mm256_srli_epi16(q, 4) : q, _mm256_set1_epi8(15));
}

// The nibbles of 16 bytes, the low ones first.
CK_INLINE __m256i CK(nibbles_16)(const uint8_t *qs) {
  __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)qs));
  return _mm256_and_si256(_mm256_srlv_epi64(both, _mm256_setr_epi64x(0, 0, 4, 4)), _mm256_set1_epi8(15));
}

CK_INLINE __m256i CK(table_values)(__m256i codes) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)ck_iq4_values)), codes);
}

// Bits shifted to the left by `count`, or to the right where it is negative; of bytes, if masked afterwards.
CK_INLINE __m256i CK(shifted)(__m256i v, const int count) {
  return count == 0 ? v : count > 0 ? _mm256_slli_epi16(v, count) : _mm256_srli_epi16(v, -count);
}

// Codes 32k to 32k + 31 of the 256 that start at `b`.
CK_INLINE __m256i CK(codes_at)(const int format, const uint8_t *b, const int k) {
  const uint8_t *block = b + (size_t)k * CK(block_bytes)(format);
  switch (format) {
  case CK_Q8_0: return CK(load_256)(block + 2);
  case CK_Q4_0: return CK(nibbles_16)(block + 2);
  case CK_IQ4_NL: return CK(table_values)(CK(nibbles_16)(block + 2));
  default: {  // q6_k
    const int half = k / 4, place = k % 4;
    __m256i high = CK(shifted)(CK(load_256)(b + 128 + 32 * half), 4 - 2 * place);
    __m256i low = CK(half_bytes)(CK(load_256)(b + 64 * half + place % 2 * 32), place / 2);
    return _mm256_or_si256(low, _mm256_and_si256(high, _mm256_set1_epi8(0x30)));
  }
  }
}

CK_INLINE void CK(factors_q6_k)(const uint8_t *b, CK(factors) *f) {
  __m128i bytes = _mm_loadu_si128((const __m128i *)(b + 192));
  __m256 d = _mm256_set1_ps(CK(half)(b + 208)), offset = _mm256_set1_ps(-32);
  __m256 low = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), d);
  __m256 high = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))), d);
  _mm256_storeu_ps(f->s, low);
  _mm256_storeu_ps(f->s + 8, high);
  _mm256_storeu_ps(f->m, _mm256_mul_ps(low, offset));
  _mm256_storeu_ps(f->m + 8, _mm256_mul_ps(high, offset));
}

CK_INLINE void CK(read_factors)(const int format, const uint8_t *b, CK(factors) *f) {
  if (format == CK_Q6_K) {
    CK(factors_q6_k)(b, f);
    return;
  }
  CK(f8v) scales = CK(halves_8)(b, CK(block_bytes)(format));
  CK(store_8)(f->s, scales);
  CK(store_8)(f->m, scales * -CK(center)(format));
}

// Adds 256 weights at `b` times activations from block `at` on.
CK_INLINE void CK(add_codes)(const int format, const uint8_t *b, CK(record) a, size_t at, __m256 *sum) {
  const int kind = CK(kind)(format), group = CK(group)(format);
  const __m256i pairs = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
  CK(factors) f;
  CK(read_factors)(format, b, &f);
  __m256 d = _mm256_loadu_ps(a.d + at), first = _mm256_loadu_ps(f.s), second = first;
  float scales[8] __attribute__((aligned(32)));
  if (group == 32) {
    _mm256_store_ps(scales, _mm256_mul_ps(first, d));
  } else {
    first = _mm256_mul_ps(first, _mm256_permutevar8x32_ps(d, pairs));
    second = _mm256_loadu_ps(f.s + 8);
    second = _mm256_mul_ps(second, _mm256_permutevar8x32_ps(d, _mm256_add_epi32(pairs, _mm256_set1_epi32(4))));
  }
#pragma clang loop unroll(full)
  for (int k = 0; k < 8; k++) {
    __m256i u = CK(codes_at)(format, b, k), codes = CK(load_256)(a.codes + 32 * (at + (size_t)k));
    __m256i dot = (__m256i)(kind == CK_KIND_WIDE ? CK(dot_bytes)(_mm256_abs_epi8(u), _mm256_sign_epi8(codes, u))
                                                 : CK(dot_bytes)(u, codes));
    __m256 factor;
    if (group == 32) {
      factor = _mm256_broadcast_ss(scales + k);
    } else {
      const int e = 2 * k % 8, o = e + 1;
      factor = _mm256_permutevar8x32_ps(k < 4 ? first : second, _mm256_setr_epi32(e, e, e, e, o, o, o, o));
    }
    sum[k % 4] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), factor, sum[k % 4]);
  }
  if (kind == CK_KIND_WIDE) return;
  const float *sums = group == 32 ? a.sums32 + at : a.sums16 + 2 * at;
  sum[0] = _mm256_fmadd_ps(_mm256_loadu_ps(f.m), _mm256_loadu_ps(sums), sum[0]);
  if (group == 16) sum[1] = _mm256_fmadd_ps(_mm256_loadu_ps(f.m + 8), _mm256_loadu_ps(sums + 8), sum[1]);
}
