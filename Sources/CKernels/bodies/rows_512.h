// Products row by row with registers of 64 codes, for AVX-512. No include guard.
//
// The sums are those of CK(add_256): lanes 0..7 and 8..15 of two accumulators stand for its four sums of eight lanes,
// so every row has the same result bit for bit as with eight lanes.

// 256 weights: 64 codes a vector, in the order of the columns; 8 or 16 scales and offsets.
typedef struct {
  __m512i u[4];
  __m512 s, m;
} CK(codes_256);

// Eight floats, and eight zeros.
CK_INLINE __m512 CK(extend)(__m256 v) {
  return (__m512)__builtin_shufflevector(
    (CK(f8v))v, (CK(f8v)){0}, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

CK_INLINE __m512 CK(to_floats)(__m512i v) {
  return (__m512)__builtin_convertvector((CK(i16v))v, CK(f16v));
}

CK_INLINE __m256i CK(load_256)(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

// The nibbles of 32 bytes, the low ones first.
CK_INLINE __m512i CK(split_nibbles)(const uint8_t *qs) {
  const __m512i shifts = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(4), 1);
  __m512i both = _mm512_broadcast_i64x4(CK(load_256)(qs));
  return _mm512_and_si512(_mm512_srlv_epi16(both, shifts), _mm512_set1_epi8(15));
}

// The nibbles of two times 16 bytes, each of which comes twice: those of each 16 with the low ones first.
CK_INLINE __m512i CK(split_nibbles_16)(__m512i both) {
  const __m512i shifts = _mm512_broadcast_i64x4(
    _mm256_inserti128_si256(_mm256_setzero_si256(), _mm_set1_epi16(4), 1));
  return _mm512_and_si512(_mm512_srlv_epi16(both, shifts), _mm512_set1_epi8(15));
}

CK_INLINE __m512i CK(table_values)(__m512i codes) {
  __m512i table = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)ck_iq4_values));
  return _mm512_shuffle_epi8(table, codes);
}

// Eight scales and eight minima of q4_k and q5_k: all sixteen at once, the scales in the low half.
CK_INLINE void CK(wide_scales_k4)(const uint8_t *block, CK(codes_256) *c) {
  const __m512i sides = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  const __m512i sign = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi32(INT32_MIN), 1);
  // Words: the factors; six bits of four scales, and two of the other four; the same of minima; four bits of the others
  // of both.
  __m128i words = _mm_loadu_si128((const __m128i *)block);
  __m128i bits = _mm_srlv_epi32(_mm_shuffle_epi32(words, 0xed), _mm_setr_epi32(0, 0, 0, 4));
  bits = _mm_and_si128(bits, _mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f));
  __m128i high = _mm_srli_epi32(_mm_shuffle_epi32(words, 0x84), 2);
  high = _mm_and_si128(high, _mm_setr_epi32(0, 0x30303030, 0, 0x30303030));
  CK(u16b) six;
  bits = _mm_or_si128(bits, high);
  __builtin_memcpy(&six, &bits, 16);
  __m512 factors = _mm512_permutexvar_ps(sides, _mm512_castps128_ps512(_mm_cvtph_ps(words)));
  factors = _mm512_xor_ps(factors, _mm512_castsi512_ps(sign));
  CK(f16v) both = __builtin_convertvector(six, CK(f16v)) * (CK(f16v))factors;
  c->s = (__m512)both;  // products take its low half alone
  c->m = CK(extend)((__m256)__builtin_shufflevector(both, both, 8, 9, 10, 11, 12, 13, 14, 15));
}

CK_INLINE void CK(wide_q4_k)(const uint8_t *b, CK(codes_256) *c) {
  CK(wide_scales_k4)(b, c);
#pragma clang loop unroll(full)
  for (int k = 0; k < 4; k++) c->u[k] = CK(split_nibbles)(b + 16 + 32 * k);
}

CK_INLINE void CK(wide_q5_k)(const uint8_t *b, CK(codes_256) *c) {
  CK(wide_scales_k4)(b, c);
  const __m512i fifth = _mm512_set1_epi8(16);
  __m512i high = _mm512_broadcast_i64x4(CK(load_256)(b + 16));
#pragma clang loop unroll(full)
  for (int k = 0; k < 4; k++) {
    __m512i bit = _mm512_inserti64x4(
      _mm512_set1_epi8((char)(1 << 2 * k)), _mm256_set1_epi8((char)(2 << 2 * k)), 1);
    __m512i u = CK(split_nibbles)(b + 48 + 32 * k);
    c->u[k] = _mm512_mask_add_epi8(u, _mm512_test_epi8_mask(high, bit), u, fifth);
  }
}

CK_INLINE void CK(wide_q6_k)(const uint8_t *b, CK(codes_256) *c) {
  const __m512i nibble = _mm512_set1_epi8(15), six = _mm512_set1_epi8(63);
  const __m512i up = _mm512_inserti64x4(_mm512_set1_epi16(4), _mm256_set1_epi16(2), 1);
  const __m512i down = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(2), 1);
#pragma clang loop unroll(full)
  for (int h = 0; h < 2; h++) {
    __m512i low = _mm512_loadu_si512(b + 64 * h);
    __m512i high = _mm512_broadcast_i64x4(CK(load_256)(b + 128 + 32 * h));
    // Bits where `nibble` is set come from the first operand, the others from the third.
    __m512i even = _mm512_ternarylogic_epi32(low, nibble, _mm512_sllv_epi16(high, up), 0xe2);
    __m512i odd = _mm512_ternarylogic_epi32(
      _mm512_srli_epi16(low, 4), nibble, _mm512_srlv_epi16(high, down), 0xe2);
    c->u[2 * h] = _mm512_and_si512(even, six);
    c->u[2 * h + 1] = _mm512_and_si512(odd, six);
  }
  CK(b16v) scales;
  __builtin_memcpy(&scales, b + 192, 16);
  c->s = (__m512)(__builtin_convertvector(scales, CK(f16v)) * CK(half)(b + 208));
  c->m = _mm512_mul_ps(c->s, _mm512_set1_ps(-32));
}

CK_INLINE void CK(wide_iq4_xs)(const uint8_t *b, CK(codes_256) *c) {
  const __m256i shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
  uint32_t low;
  uint16_t high;
  __builtin_memcpy(&high, b + 2, 2);
  __builtin_memcpy(&low, b + 4, 4);
  __m256i four = _mm256_set1_epi32(15), top = _mm256_set1_epi32(48);
  __m256i codes = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32((int)low), shifts), four);
  __m256i two = _mm256_srlv_epi32(_mm256_set1_epi32(high), _mm256_srli_epi32(shifts, 1));
  codes = _mm256_or_si256(codes, _mm256_and_si256(_mm256_slli_epi32(two, 4), top));
  codes = _mm256_sub_epi32(codes, _mm256_set1_epi32(32));
  c->s = CK(extend)(_mm256_mul_ps(_mm256_cvtepi32_ps(codes), _mm256_set1_ps(CK(half)(b))));
  const __m512i twice = _mm512_setr_epi64(0, 1, 0, 1, 2, 3, 2, 3);
#pragma clang loop unroll(full)
  for (int k = 0; k < 4; k++) {
    __m512i both = _mm512_permutexvar_epi64(twice, _mm512_castsi256_si512(CK(load_256)(b + 8 + 32 * k)));
    c->u[k] = CK(table_values)(CK(split_nibbles_16)(both));
  }
}

// The halves that eight blocks begin with; of 18 bytes, picked as words from the 128 bytes that hold them all.
CK_INLINE __m256 CK(wide_halves)(const size_t bytes, const uint8_t *b) {
  if (bytes == 18) {
    const __m512i places = _mm512_inserti32x4(
      _mm512_setzero_si512(), _mm_setr_epi16(0, 9, 18, 27, 36, 45, 54, 63), 0);
    return _mm256_cvtph_ps(_mm512_castsi512_si128(
      _mm512_permutex2var_epi16(_mm512_loadu_si512(b), places, _mm512_loadu_si512(b + 64))));
  }
  CK(f8v) scales = CK(halves_8)(b, bytes);
  __m256 s;
  __builtin_memcpy(&s, &scales, 32);
  return s;
}

// Eight numbers from `first` on twice, and eight from `second` on twice.
CK_INLINE __m512i CK(words_twice)(int first, int second) {
  const __m128i steps = _mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7);
  __m256i low = _mm256_broadcastsi128_si256(_mm_add_epi16(steps, _mm_set1_epi16((short)first)));
  __m256i high = _mm256_broadcastsi128_si256(_mm_add_epi16(steps, _mm_set1_epi16((short)second)));
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

// Eight blocks of 32 with nibbles, or with whole bytes.
CK_INLINE void CK(wide_blocks)(const int format, const uint8_t *b, CK(codes_256) *c) {
  const size_t bytes = CK(block_bytes)(format);
  c->s = CK(extend)(CK(wide_halves)(bytes, b));
  if (format == CK_Q4_0) c->m = _mm512_mul_ps(c->s, _mm512_set1_ps(-8));
  // The words of two blocks' codes, each twice: of blocks from a place on, and of the last two from 64 bytes before
  // their end.
  const __m512i places = CK(words_twice)(1, 10), last = CK(words_twice)(15, 24);
#pragma clang loop unroll(full)
  for (int k = 0; k < 4; k++) {
    const uint8_t *first = b + (size_t)(2 * k) * bytes + 2, *second = first + bytes;
    if (bytes == 18) {
      // Words picked from 64 bytes that lie inside the eight blocks.
      const uint8_t *from = k < 3 ? b + 36 * k : b + 80;
      __m512i both = _mm512_permutexvar_epi16(k < 3 ? places : last, _mm512_loadu_si512(from));
      c->u[k] = CK(split_nibbles_16)(both);
      if (format == CK_IQ4_NL) c->u[k] = CK(table_values)(c->u[k]);
    } else {
      c->u[k] = _mm512_inserti64x4(_mm512_castsi256_si512(CK(load_256)(first)), CK(load_256)(second), 1);
    }
  }
}

CK_INLINE void CK(wide_codes)(const int format, const uint8_t *row, CK(codes_256) *c) {
  switch (format) {
  case CK_Q4_K: CK(wide_q4_k)(row, c); return;
  case CK_Q5_K: CK(wide_q5_k)(row, c); return;
  case CK_Q6_K: CK(wide_q6_k)(row, c); return;
  case CK_IQ4_XS: CK(wide_iq4_xs)(row, c); return;
  case CK_Q4_0: case CK_Q8_0: case CK_IQ4_NL: CK(wide_blocks)(format, row, c); return;
  }
  uint8_t u[256] __attribute__((aligned(64)));
  float s[16] __attribute__((aligned(64))) = {0}, m[16] __attribute__((aligned(64))) = {0};
  if (CK(block)(format) == 256) CK(unpack)(format, row, u, s, m);
  else CK(unpack_8)(format, row, u, s, m);
#pragma clang loop unroll(full)
  for (int k = 0; k < 4; k++) c->u[k] = _mm512_load_si512(u + 64 * k);
  c->s = _mm512_load_ps(s);
  c->m = _mm512_load_ps(m);
}

// Lane l: the sum of 4 products from 4l on.
CK_INLINE __m512i CK(dot_64)(const int kind, __m512i u, const int8_t *codes) {
  __m512i a = _mm512_loadu_si512(codes);
  if (kind == CK_KIND_WIDE) {  // the sign moves to the activations
    a = _mm512_mask_sub_epi8(a, _mm512_movepi8_mask(u), _mm512_setzero_si512(), a);
    u = _mm512_abs_epi8(u);
  }
  return _mm512_dpbusd_epi32(_mm512_setzero_si512(), u, a);
}

CK_INLINE void CK(add_wide)(const int kind, const int group, const CK(codes_256) *c, CK(record) a, size_t b,
                            __m512 *acc) {
  const __m512i pairs = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  const __m512i eights = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  const __m512i fours = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  __m512 d = CK(extend)(_mm256_loadu_ps(a.d + b));
  if (group == 16) d = _mm512_permutexvar_ps(pairs, d);
  __m512 s = _mm512_mul_ps(c->s, d);
#pragma clang loop unroll(full)
  for (int k = 0; k < 4; k++) {
    __m512i dots = CK(dot_64)(kind, c->u[k], a.codes + 32 * b + 64 * k);
    __m512i from = group == 32 ? _mm512_add_epi32(eights, _mm512_set1_epi32(2 * k))
                               : _mm512_add_epi32(fours, _mm512_set1_epi32(4 * k));
    acc[k % 2] = _mm512_fmadd_ps(CK(to_floats)(dots), _mm512_permutexvar_ps(from, s), acc[k % 2]);
  }
  if (kind == CK_KIND_WIDE) return;
  __m512 sums = group == 32 ? CK(extend)(_mm256_loadu_ps(a.sums32 + b))
                            : _mm512_loadu_ps(a.sums16 + 2 * b);
  acc[0] = _mm512_fmadd_ps(c->m, sums, acc[0]);
}

// One row times one token.
CK_INLINE float CK(row_dot)(const int format, const uint8_t *row, size_t columns, CK(record) a) {
  const size_t block = CK(block)(format), bytes = CK(block_bytes)(format);
  const int group = CK(group)(format), kind = CK(kind)(format);
  __m512 acc[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  size_t at = 0;
  for (; at + 256 <= columns; at += 256) {
    CK(codes_256) c;
    CK(prefetch)(row, 256 / block * bytes);
    CK(wide_codes)(format, row, &c);
    CK(add_wide)(kind, group, &c, a, at / 32, acc);
    row += 256 / block * bytes;
  }
  CK(f8v) sum[4];
  __builtin_memcpy(sum, acc, sizeof sum);
  return CK(end_row)(format, row, columns, at, a, sum);
}
