// Two tiles of eight rows times up to CK_TOKENS tokens, for 16 registers of 32 bytes: four activations, once in a
// register, meet the codes of 16 rows. No include guard.
//
// CK(block_dots) does the integers, which are exact; floats are added in the order of CK(tile_times).

// Two tiles' products with CK_TOKENS tokens.
typedef struct {
  __m256i of[2][CK_TOKENS];
} CK(sums);

// Sums stay in their registers step by step: left alone, the compiler multiplies ahead and runs out of registers.
#if defined(CK_SIMDE)
#define CK_PIN(v) (void)(v)
#else
#define CK_PIN(v) __asm__("" : "+x"(v))
#endif

#ifndef CK_VNNI
// Adds the products of steps from `k` on, `count` of them, which fit into 16 bits together.
CK_INLINE void CK(add_chain)(const int r, const int n, const int k, const int count, const uint8_t *tile, size_t bytes,
                             const int8_t *a, size_t stride, CK(sums) *part) {
#pragma clang loop unroll(full)
  for (int j = k; j < k + count; j++) {
    __m256i u = _mm256_load_si256((const __m256i *)(tile + 32 * j)), v = u;
    if (r == 2) v = _mm256_load_si256((const __m256i *)(tile + bytes + 32 * j));
#pragma clang loop unroll(full)
    for (int t = 0; t < n; t++) {
      __m256i all = CK(broadcast)(a + (size_t)t * stride + 4 * j);
      __m256i first = _mm256_maddubs_epi16(u, all), second = _mm256_maddubs_epi16(v, all);
      part->of[0][t] = j == k ? first : _mm256_add_epi16(part->of[0][t], first);
      CK_PIN(part->of[0][t]);
      if (r == 2) {
        part->of[1][t] = j == k ? second : _mm256_add_epi16(part->of[1][t], second);
        CK_PIN(part->of[1][t]);
      }
    }
  }
}

// int8 codes: their sign moves to the activations.
CK_INLINE void CK(wide_dots)(const int r, const int n, const int steps, const uint8_t *tile, size_t bytes,
                             const int8_t *a, size_t stride, CK(sums) *dots) {
  const __m256i ones = _mm256_set1_epi16(1);
#pragma clang loop unroll(full)
  for (int k = 0; k < steps; k++) {
    __m256i u = _mm256_load_si256((const __m256i *)(tile + 32 * k)), v = u;
    if (r == 2) v = _mm256_load_si256((const __m256i *)(tile + bytes + 32 * k));
    __m256i sizes[2] = {_mm256_abs_epi8(u), _mm256_abs_epi8(v)}, codes[2] = {u, v};
#pragma clang loop unroll(full)
    for (int t = 0; t < n; t++) {
      __m256i all = CK(broadcast)(a + (size_t)t * stride + 4 * k);
#pragma clang loop unroll(full)
      for (int i = 0; i < r; i++) {
        __m256i pairs = _mm256_maddubs_epi16(sizes[i], _mm256_sign_epi8(all, codes[i]));
        __m256i quads = _mm256_madd_epi16(pairs, ones);
        dots->of[i][t] = k == 0 ? quads : _mm256_add_epi32(dots->of[i][t], quads);
        CK_PIN(dots->of[i][t]);
      }
    }
  }
}

// `r` tiles times `n` tokens: sums over `steps` times four codes.
CK_INLINE void CK(block_dots)(const int kind, const int r, const int n, const int steps, const uint8_t *tile,
                              size_t bytes, const int8_t *a, size_t stride, CK(sums) *dots) {
  if (kind == CK_KIND_WIDE) {
    CK(wide_dots)(r, n, steps, tile, bytes, a, stride, dots);
    return;
  }
  const __m256i ones = _mm256_set1_epi16(1);
  const int chain = CK(chain)(kind) < steps ? CK(chain)(kind) : steps;
#pragma clang loop unroll(full)
  for (int k = 0; k < steps; k += chain) {
    CK(sums) part;
    CK(add_chain)(r, n, k, chain, tile, bytes, a, stride, &part);
#pragma clang loop unroll(full)
    for (int i = 0; i < r; i++) {
#pragma clang loop unroll(full)
      for (int t = 0; t < n; t++) {
        __m256i quads = _mm256_madd_epi16(part.of[i][t], ones);
        dots->of[i][t] = k == 0 ? quads : _mm256_add_epi32(dots->of[i][t], quads);
      }
    }
  }
}
#else
CK_INLINE void CK(block_dots)(const int kind, const int r, const int n, const int steps, const uint8_t *tile,
                              size_t bytes, const int8_t *a, size_t stride, CK(sums) *dots) {
  (void)kind;
#pragma clang loop unroll(full)
  for (int k = 0; k < steps; k++) {
    __m256i u = _mm256_load_si256((const __m256i *)(tile + 32 * k)), v = u;
    if (r == 2) v = _mm256_load_si256((const __m256i *)(tile + bytes + 32 * k));
#pragma clang loop unroll(full)
    for (int t = 0; t < n; t++) {
      __m256i all = CK(broadcast)(a + (size_t)t * stride + 4 * k), zero = _mm256_setzero_si256();
      dots->of[0][t] = CK_DPBUSD(k == 0 ? zero : dots->of[0][t], u, all);
      CK_PIN(dots->of[0][t]);
      if (r == 2) {
        dots->of[1][t] = CK_DPBUSD(k == 0 ? zero : dots->of[1][t], v, all);
        CK_PIN(dots->of[1][t]);
      }
    }
  }
}
#endif

CK_INLINE const void *CK(token_place)(const void *first, int t, size_t stride) {
  return (const char *)first + (size_t)t * stride;
}

// `r` tiles times `n` tokens (constants). `center`: the shift of the counts, or −1 where nothing is taken off.
CK_INLINE void CK(block_times)(const int kind, const int group, const int offsets, int center, const int r,
                               const int n, const uint8_t *tile, size_t columns, const void *records, size_t token,
                               float *y, size_t y_stride, size_t rows) {
  const size_t bytes = CK(tile_bytes)(columns), stride = ck_record_bytes(columns);
  const CK(record) first = CK(open_record)(records, token, columns);
  const float *scales = (const float *)(tile + columns * 8), *minima = scales + columns / 16 * 8;
  __m256 acc[2][CK_TOKENS];
#pragma clang loop unroll(full)
  for (int i = 0; i < r; i++) {
#pragma clang loop unroll(full)
    for (int t = 0; t < n; t++) acc[i][t] = _mm256_setzero_ps();
  }
  for (size_t g = 0; g < columns / (size_t)group; g++) {
    CK(sums) dots;
    CK(block_dots)(kind, r, n, group / 4, tile + g * (size_t)group * 8, bytes, first.codes + g * (size_t)group, stride,
                   &dots);
    const float *d = first.d + g * (size_t)group / 32;
    const float *sums = (group == 32 ? first.sums32 : first.sums16) + g;
    const int32_t *counts = (group == 32 ? first.counts32 : first.counts16) + g;
    __m256 s[2], m[2];
#pragma clang loop unroll(full)
    for (int i = 0; i < r; i++) {
      s[i] = _mm256_load_ps(CK(token_place)(scales + 8 * g, i, bytes));
      if (offsets) m[i] = _mm256_load_ps(CK(token_place)(minima + 8 * g, i, bytes));
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < n; t++) {
      __m256 scale = _mm256_broadcast_ss(CK(token_place)(d, t, stride)), sum;
      __m256i off;
      if (center >= 0) {
        off = _mm256_set1_epi32(*(const int32_t *)CK(token_place)(counts, t, stride));
        off = _mm256_slli_epi32(off, center);
      }
      if (offsets) sum = _mm256_broadcast_ss(CK(token_place)(sums, t, stride));
#pragma clang loop unroll(full)
      for (int i = 0; i < r; i++) {
        __m256i dot = dots.of[i][t];
        if (center >= 0) dot = _mm256_sub_epi32(dot, off);
        acc[i][t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_mul_ps(s[i], scale), acc[i][t]);
        if (offsets) acc[i][t] = _mm256_fmadd_ps(m[i], sum, acc[i][t]);
      }
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < r; i++) {
    size_t left = rows - 8 * (size_t)i, count = left < 8 ? left : 8;
#pragma clang loop unroll(full)
    for (int t = 0; t < n; t++) {
      float *out = y + (token + (size_t)t) * y_stride + 8 * i;
      if (count == 8) _mm256_storeu_ps(out, acc[i][t]);
      else __builtin_memcpy(out, &acc[i][t], count * sizeof(float));
    }
  }
}

// Formats of one kind, group and center share a function.
#define CK_BLOCK(FORMAT, R, N) \
  for (; t + (N) <= end; t += N) \
    CK(block_times)(CK(kind)(FORMAT), CK(group)(FORMAT), CK(has_offsets)(FORMAT), CK(center_bits)(FORMAT), R, N, tile, \
                    columns, records, t, y, y_stride, rows);
#define CK_RANGE(NAME, FORMAT) \
  static void CK(NAME)(const uint8_t *tile, size_t tiles, size_t columns, const void *records, size_t token, \
                       size_t count, float *y, size_t y_stride, size_t rows) { \
    size_t t = token, end = token + count; \
    if (tiles == 2) { \
      CK_BLOCK(FORMAT, 2, CK_TOKENS) CK_BLOCK(FORMAT, 2, CK_TOKENS / 2) CK_BLOCK(FORMAT, 2, 1) \
    } else { \
      CK_BLOCK(FORMAT, 1, CK_TOKENS) CK_BLOCK(FORMAT, 1, CK_TOKENS / 2) CK_BLOCK(FORMAT, 1, 1) \
    } \
  }
CK_RANGE(range_q4_0, CK_Q4_0)
CK_RANGE(range_q5_0, CK_Q5_0)
CK_RANGE(range_q8_0, CK_Q8_0)
CK_RANGE(range_q2_k, CK_Q2_K)
CK_RANGE(range_q3_k, CK_Q3_K)
CK_RANGE(range_q4_k, CK_Q4_K)
CK_RANGE(range_q5_k, CK_Q5_K)
CK_RANGE(range_q6_k, CK_Q6_K)
#undef CK_RANGE
#undef CK_BLOCK
#undef CK_PIN
