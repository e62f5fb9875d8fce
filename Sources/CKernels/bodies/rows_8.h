// Products of eight rows at a time, for formats of nibbles. No include guard.
//
// Lane l of every vector is row l's: words of four codes are turned so that the same word of eight rows lies in one register. Then
// the products of a group add up as integers before they become a float, once for eight rows, and scales are read for eight rows
// together. A row by itself needs eight floats for each 32 codes, which took more time than reading them from memory where
// registers of 64 bytes are halves in turn (Zen 4).
//
// A row's result is the same whatever seven rows go with it.

// Eight rows: four from `first` on, four from `second` on.
typedef struct {
  const uint8_t *first, *second;
  size_t stride;
} CK(eight);

CK_INLINE int CK(takes_eight)(const int format, size_t columns) {
  if (columns % 256) return 0;
  switch (format) {
  case CK_Q4_0: case CK_Q4_K: case CK_Q5_K: case CK_IQ4_NL: case CK_IQ4_XS: return 1;
  default: return 0;
  }
}

// 16 bytes of row r, and of row r + 4.
CK_INLINE __m256i CK(pair_of_rows)(CK(eight) rows, const size_t r, size_t at) {
  __m128i low = _mm_loadu_si128((const __m128i *)(rows.first + r * rows.stride + at));
  __m128i high = _mm_loadu_si128((const __m128i *)(rows.second + r * rows.stride + at));
  return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

// Four words from byte `at` on: word j of all rows in w[j].
CK_INLINE void CK(words_of_rows)(CK(eight) rows, size_t at, __m256i *w) {
  __m256i a = CK(pair_of_rows)(rows, 0, at), b = CK(pair_of_rows)(rows, 1, at);
  __m256i c = CK(pair_of_rows)(rows, 2, at), d = CK(pair_of_rows)(rows, 3, at);
  __m256i ab = _mm256_unpacklo_epi32(a, b), cd = _mm256_unpacklo_epi32(c, d);
  __m256i after_ab = _mm256_unpackhi_epi32(a, b), after_cd = _mm256_unpackhi_epi32(c, d);
  w[0] = _mm256_unpacklo_epi64(ab, cd);
  w[1] = _mm256_unpackhi_epi64(ab, cd);
  w[2] = _mm256_unpacklo_epi64(after_ab, after_cd);
  w[3] = _mm256_unpackhi_epi64(after_ab, after_cd);
}

// The lower halves of eight words as floats.
CK_INLINE __m256 CK(lower_halves)(__m256i words) {
  __m256i low = _mm256_and_si256(words, _mm256_set1_epi32(0xffff));
  return _mm256_cvtph_ps(_mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1)));
}

// Adds the products of each lane's four codes with four activations. Without VNNI sums of two are in 16 bits: there is
// room for those of 16 codes below 16, or of 8 below 32.
CK_INLINE __m256i CK(add_four)(__m256i sum, __m256i u, __m256i four) {
#ifdef CK_DPBUSD
  return CK_DPBUSD(sum, u, four);
#else
  return _mm256_add_epi16(sum, _mm256_maddubs_epi16(u, four));
#endif
}

// Sums of products from those of CK(add_four).
CK_INLINE __m256i CK(whole_sums)(__m256i sum) {
#ifdef CK_DPBUSD
  return sum;
#else
  return _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
#endif
}

// High nibbles: as they lie, 16 times as large, where there is room for their products.
#ifdef CK_DPBUSD
#define CK_HIGH_NIBBLES 16
#else
#define CK_HIGH_NIBBLES 1
#endif

CK_INLINE __m256i CK(low_nibbles)(__m256i w) { return _mm256_and_si256(w, _mm256_set1_epi8(15)); }

CK_INLINE __m256i CK(high_nibbles)(__m256i w) {
  if (CK_HIGH_NIBBLES == 16) return _mm256_and_si256(w, _mm256_set1_epi8((char)0xf0));
  return CK(low_nibbles)(_mm256_srli_epi16(w, 4));
}

// What codes of iq4_nl and iq4_xs stand for; with VNNI, whose bytes are unsigned, 128 more.
CK_INLINE __m256i CK(values_of_codes)(__m256i codes) {
  __m128i table = _mm_loadu_si128((const __m128i *)ck_iq4_values);
#ifdef CK_DPBUSD
  table = _mm_add_epi8(table, _mm_set1_epi8((char)128));
#endif
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), codes);
}

// Adds the products of each lane's four values with four activations.
CK_INLINE __m256i CK(add_four_values)(__m256i sum, __m256i values, __m256i four) {
#ifdef CK_DPBUSD
  return CK_DPBUSD(sum, values, four);
#else
  __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(values), _mm256_sign_epi8(four, values));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
#endif
}

// Bytes `place` of eight words as floats.
CK_INLINE __m256 CK(bytes_of_words)(__m256i words, const int place) {
  const __m256i zeros = _mm256_set1_epi32((int)0x80808000);
  const __m256i firsts = _mm256_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12);
  __m256i from = _mm256_add_epi32(_mm256_or_si256(zeros, firsts), _mm256_set1_epi32(place));
  return _mm256_cvtepi32_ps(_mm256_shuffle_epi8(words, from));
}

// How far behind the next eight rows bytes are asked for, into the second-level cache: eight rows are eight places that the
// processor's own prefetching does not follow, and the first level has too few lines in flight.
#define CK_EIGHT_AHEAD 8192

// Asks for a quarter of the bytes that follow eight blocks of `bytes`. All at once they would wait for each other.
CK_INLINE void CK(ask_ahead)(const uint8_t *next, size_t bytes, const size_t quarter) {
  const size_t lines = bytes / 8;
#pragma clang loop unroll(full)
  for (size_t line = quarter * lines / 4; line < (quarter + 1) * lines / 4; line++) {
    __builtin_prefetch(next + 64 * line, 0, 2);
  }
}

// What eight blocks of q4_k or q5_k begin with: factors of scales and minima, and six bits of each, four groups a word.
typedef struct {
  __m256 d, least;
  __m256i s[2], m[2];
} CK(heads);

CK_INLINE CK(heads) CK(heads_k4)(CK(eight) rows) {
  const __m256i six = _mm256_set1_epi32(0x3f3f3f3f), four = _mm256_set1_epi32(0x0f0f0f0f);
  const __m256i two = _mm256_set1_epi32(0x30303030);
  __m256i w[4];
  CK(words_of_rows)(rows, 0, w);
  CK(heads) h;
  h.d = CK(lower_halves)(w[0]);
  h.least = CK(lower_halves)(_mm256_srli_epi32(w[0], 16));
  h.s[0] = _mm256_and_si256(w[1], six);
  h.m[0] = _mm256_and_si256(w[2], six);
  h.s[1] = _mm256_or_si256(
    _mm256_and_si256(w[3], four), _mm256_and_si256(_mm256_srli_epi32(w[1], 2), two));
  h.m[1] = _mm256_or_si256(
    _mm256_and_si256(_mm256_srli_epi32(w[3], 4), four), _mm256_and_si256(_mm256_srli_epi32(w[2], 2), two));
  return h;
}

// Where a word's bits of weight 16 are: bit `k` of each byte.
CK_INLINE __m256i CK(fifth_of_words)(__m256i high, const int k) {
  __m256i at = k < 4 ? _mm256_slli_epi16(high, 4 - k) : _mm256_srli_epi16(high, k - 4);
  return _mm256_and_si256(at, _mm256_set1_epi8(16));
}

// 256 columns of eight rows of q4_k or q5_k, from block `b` of the activations on.
CK_INLINE __m256 CK(eight_k4)(const int format, CK(eight) rows, const uint8_t *next, CK(record) a, size_t b,
                              __m256 acc) {
  const int is_five = format == CK_Q5_K;
  CK(heads) h = CK(heads_k4)(rows);
  __m256i fifth[8];
  if (is_five) {
    CK(words_of_rows)(rows, 16, fifth);
    CK(words_of_rows)(rows, 32, fifth + 4);
  }
  __m256 even = _mm256_setzero_ps(), odd = even, least = even;
#pragma clang loop unroll(full)
  for (int c = 0; c < 4; c++) {
    const int8_t *codes = a.codes + 32 * (b + 2 * (size_t)c);
    CK(ask_ahead)(next, CK(block_bytes)(format), (size_t)c);
    __m256i low = _mm256_setzero_si256(), high = low, low_sum = low, high_sum = low;
#pragma clang loop unroll(full)
    for (int k = 0; k < 8; k += 4) {
      __m256i w[4];
      CK(words_of_rows)(rows, (is_five ? 48 : 16) + 32 * (size_t)c + 4 * (size_t)k, w);
#pragma clang loop unroll(full)
      for (int j = 0; j < 4; j++) {
        __m256i u = CK(low_nibbles)(w[j]), v;
        if (is_five) {
          u = _mm256_or_si256(u, CK(fifth_of_words)(fifth[k + j], 2 * c));
          v = CK(low_nibbles)(_mm256_srli_epi16(w[j], 4));
          v = _mm256_or_si256(v, CK(fifth_of_words)(fifth[k + j], 2 * c + 1));
        } else {
          v = CK(high_nibbles)(w[j]);
        }
        low = CK(add_four)(low, u, CK(broadcast)(codes + 4 * (k + j)));
        high = CK(add_four)(high, v, CK(broadcast)(codes + 32 + 4 * (k + j)));
      }
#ifndef CK_DPBUSD
      if (is_five) {
        low_sum = _mm256_add_epi32(low_sum, CK(whole_sums)(low));
        high_sum = _mm256_add_epi32(high_sum, CK(whole_sums)(high));
        low = high = _mm256_setzero_si256();
      }
#endif
    }
#ifdef CK_DPBUSD
    low_sum = low, high_sum = high;
#else
    if (!is_five) low_sum = CK(whole_sums)(low), high_sum = CK(whole_sums)(high);
#endif
    const __m256i s = h.s[c / 2], m = h.m[c / 2];
    const int place = 2 * c % 4;
    const float *d = a.d + b + 2 * c, *sums = a.sums32 + b + 2 * c;
    __m256 first = _mm256_mul_ps(CK(bytes_of_words)(s, place), _mm256_set1_ps(d[0]));
    __m256 second = _mm256_mul_ps(CK(bytes_of_words)(s, place + 1), _mm256_set1_ps(d[1]));
    even = _mm256_fmadd_ps(_mm256_cvtepi32_ps(low_sum), first, even);
    odd = _mm256_fmadd_ps(_mm256_cvtepi32_ps(high_sum), second, odd);
    least = _mm256_fmadd_ps(CK(bytes_of_words)(m, place), _mm256_set1_ps(sums[0]), least);
    least = _mm256_fmadd_ps(CK(bytes_of_words)(m, place + 1), _mm256_set1_ps(sums[1]), least);
  }
  const float part = is_five ? 1 : 1.0f / CK_HIGH_NIBBLES;
  acc = _mm256_fmadd_ps(h.d, _mm256_fmadd_ps(odd, _mm256_set1_ps(part), even), acc);
  return _mm256_fnmadd_ps(h.least, least, acc);
}

// What is taken off each code.
CK_INLINE int CK(middle)(const int format) {
  if (format == CK_Q4_0) return 8;
#ifdef CK_DPBUSD
  return 128;
#else
  return 0;
#endif
}

// The products of 32 codes, CK(middle) not taken off yet, with activations. The codes are the nibbles of words w[0] to
// w[count − 1], in those bytes that are `first` in the first word and `last` in the last. Low nibbles meet `start` and then
// words from `low` on, high ones words from `high` on.
CK_INLINE __m256i CK(sum_nibbles)(const int format, const __m256i *w, const int count, int first, int last,
                                  __m256i start, const int8_t *low, const int8_t *high) {
  const int is_plain = format == CK_Q4_0, is_large = is_plain && CK_HIGH_NIBBLES == 16;
  __m256i x = _mm256_setzero_si256(), y = x;
#pragma clang loop unroll(full)
  for (int j = 0; j < count; j++) {
    const __m256i kept = _mm256_set1_epi32((j == 0 ? first : -1) & (j == count - 1 ? last : -1));
    __m256i a = j == 0 ? start : CK(broadcast)(low + 4 * (j - 1)), b = CK(broadcast)(high + 4 * j);
    __m256i u = CK(low_nibbles)(w[j]);
    __m256i v = is_large ? CK(high_nibbles)(w[j]) : CK(low_nibbles)(_mm256_srli_epi16(w[j], 4));
    if (!is_plain) u = CK(values_of_codes)(u), v = CK(values_of_codes)(v);
    u = _mm256_and_si256(u, kept), v = _mm256_and_si256(v, kept);
    x = is_plain ? CK(add_four)(x, u, a) : CK(add_four_values)(x, u, a);
    y = is_plain ? CK(add_four)(y, v, b) : CK(add_four_values)(y, v, b);
  }
  if (is_plain) x = CK(whole_sums)(x), y = CK(whole_sums)(y);
  return _mm256_add_epi32(x, is_large ? _mm256_srai_epi32(y, 4) : y);
}

// Adds the products of a group of 32 times the rows' scales.
CK_INLINE __m256 CK(add_group)(const int format, __m256i sum, __m256 scale, CK(record) a, size_t b, __m256 acc) {
  const int middle = CK(middle)(format);
  if (middle) sum = _mm256_sub_epi32(sum, _mm256_set1_epi32(middle * a.counts32[b]));
  return _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(scale, _mm256_set1_ps(a.d[b])), acc);
}

// 256 columns of eight rows of q4_0 or iq4_nl: pairs of blocks are nine words, a scale being the lower half of the first or
// the upper half of the fifth.
CK_INLINE __m256 CK(eight_blocks)(const int format, CK(eight) rows, const uint8_t *next, CK(record) a, size_t b,
                                  __m256 acc) {
  __m256i w[36];
#pragma clang loop unroll(full)
  for (int k = 0; k < 9; k++) CK(words_of_rows)(rows, 16 * (size_t)k, w + 4 * k);
#pragma clang loop unroll(full)
  for (int k = 0; k < 4; k++) {
    const size_t at = b + 2 * (size_t)k;
    CK(ask_ahead)(next, 8 * CK(block_bytes)(format), (size_t)k);
    const int8_t *codes = a.codes + 32 * at;
    // The first word's lower half is no code, so what it meets does not matter; before the first activation there is none.
    __m256i start = CK(broadcast)(at > 0 ? codes - 2 : codes);
    if (at == 0) start = _mm256_slli_epi32(start, 16);
    __m256i first = CK(sum_nibbles)(format, w + 9 * k, 5, -65536, 65535, start, codes + 2, codes + 14);
    __m256i second = CK(sum_nibbles)(
      format, w + 9 * k + 5, 4, -1, -1, CK(broadcast)(codes + 32), codes + 36, codes + 48);
    acc = CK(add_group)(format, first, CK(lower_halves)(w[9 * k]), a, at, acc);
    acc = CK(add_group)(
      format, second, CK(lower_halves)(_mm256_srli_epi32(w[9 * k + 4], 16)), a, at + 1, acc);
  }
  return acc;
}

// 256 columns of eight rows of iq4_xs: words of factors and two bits of scales, of four bits of scales, and of codes.
CK_INLINE __m256 CK(eight_iq4_xs)(CK(eight) rows, const uint8_t *next, CK(record) a, size_t b, __m256 acc) {
  const __m256i four = _mm256_set1_epi32(15), two = _mm256_set1_epi32(48);
  __m256i w[34];
  // All at once: here the compiler makes better code of it.
#pragma clang loop unroll(full)
  for (size_t quarter = 0; quarter < 4; quarter++) CK(ask_ahead)(next, CK(block_bytes)(CK_IQ4_XS), quarter);
#pragma clang loop unroll(full)
  for (int k = 0; k < 8; k++) CK(words_of_rows)(rows, 16 * (size_t)k, w + 4 * k);
  CK(words_of_rows)(rows, 120, w + 30);
  __m256 d = CK(lower_halves)(w[0]);
#pragma clang loop unroll(full)
  for (int k = 0; k < 8; k++) {
    const int8_t *codes = a.codes + 32 * (b + (size_t)k);
    __m256i sum = CK(sum_nibbles)(
      CK_IQ4_XS, w + 2 + 4 * k, 4, -1, -1, CK(broadcast)(codes), codes + 4, codes + 16);
    __m256i scale = _mm256_or_si256(
      _mm256_and_si256(_mm256_srli_epi32(w[1], 4 * k), four),
      _mm256_and_si256(_mm256_srli_epi32(w[0], 12 + 2 * k), two));
    __m256 s = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(scale, _mm256_set1_epi32(32))), d);
    acc = CK(add_group)(CK_IQ4_XS, sum, s, a, b + (size_t)k, acc);
  }
  return acc;
}

CK_INLINE __m256 CK(eight_columns)(const int format, CK(eight) rows, const uint8_t *next, CK(record) a, size_t b,
                                   __m256 acc) {
  switch (format) {
  case CK_Q4_K: case CK_Q5_K: return CK(eight_k4)(format, rows, next, a, b, acc);
  case CK_IQ4_XS: return CK(eight_iq4_xs)(rows, next, a, b, acc);
  default: return CK(eight_blocks)(format, rows, next, a, b, acc);
  }
}

// Eight rows times one token.
CK_INLINE __m256 CK(dot_eight)(const int format, CK(eight) rows, size_t columns, CK(record) a) {
  const size_t bytes = 256 / CK(block)(format) * CK(block_bytes)(format);
  const uint8_t *next = rows.first + 8 * rows.stride + CK_EIGHT_AHEAD;
  __m256 acc = _mm256_setzero_ps();
  for (size_t b = 0; b < columns / 32; b += 8) {
    acc = CK(eight_columns)(format, rows, next, a, b, acc);
    next += 8 * bytes;
    rows.first += bytes;
    rows.second += bytes;
  }
  return acc;
}

CK_INLINE void CK(multiply_eights)(const int format, const uint8_t *rows, size_t row_bytes, size_t row_count,
                                   size_t columns, const void *records, size_t tokens, float *y, size_t y_stride) {
  // What is left is done with rows before it once more; fewer than eight rows are each done eight times.
  const size_t height = row_count < 8 ? 1 : 8;
  for (size_t done = 0; done < row_count; done += height) {
    size_t from = done + height <= row_count ? done : row_count - height;
    const uint8_t *row = rows + from * row_bytes;
    CK(eight) eight = {row, row + (height == 8 ? 4 * row_bytes : 0), height == 8 ? row_bytes : 0};
    for (size_t t = 0; t < tokens; t++) {
      float result[8];
      _mm256_storeu_ps(result, CK(dot_eight)(format, eight, columns, CK(open_record)(records, t, columns)));
      __builtin_memcpy(y + t * y_stride + from, result, height * sizeof(float));
    }
  }
}
