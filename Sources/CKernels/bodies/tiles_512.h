// Two tiles of 16 rows times up to six tokens, for AVX-512: four activations, once in a register, meet the codes of 32
// rows. No include guard.
//
// Sums of codes begin with what the center of the codes takes off. Integers are exact, and floats are added in the
// order of CK(tile_times).

enum { CK(tokens_at_once) = 6 };  // a batch is a multiple

// `r` tiles times `n` tokens (constants). `center`: the shift of the counts, or −1 where the tiles have offsets.
CK_INLINE void CK(block_times)(const int r, const int n, const int group, const int offsets, int center,
                               const uint8_t *tile, size_t columns, const void *records, size_t token,
                               __m512 acc[2][CK(tokens_at_once)]) {
  const size_t bytes = CK(tile_bytes)(columns), stride = ck_record_bytes(columns);
  const CK(record) first = CK(open_record)(records, token, columns);
  const char *sums = (const char *)(group == 32 ? first.sums32 : first.sums16);
  const char *counts = (const char *)(group == 32 ? first.counts32 : first.counts16);
  const __m128i shift = _mm_cvtsi32_si128(center);
#pragma clang loop unroll(full)
  for (int i = 0; i < r; i++) {
#pragma clang loop unroll(full)
    for (int t = 0; t < n; t++) acc[i][t] = _mm512_setzero_ps();
  }
  for (size_t g = 0; g < columns / (size_t)group; g++) {
    __m512i dots[2][CK(tokens_at_once)];
#pragma clang loop unroll(full)
    for (int t = 0; t < n; t++) {
      dots[0][t] = _mm512_setzero_si512();
      if (!offsets) {
        int32_t count = ((const int32_t *)(counts + (size_t)t * stride))[g];
        dots[0][t] = _mm512_sll_epi32(_mm512_set1_epi32(-count), shift);
      }
      if (r == 2) dots[1][t] = dots[0][t];
    }
    const uint8_t *codes = tile + g * (size_t)group * 16;
    const int8_t *a = first.codes + g * (size_t)group;
#pragma clang loop unroll(full)
    for (int k = 0; k < group / 4; k++) {
      __m512i u = _mm512_load_si512(codes + 64 * k), v = u;
      if (r == 2) v = _mm512_load_si512(codes + bytes + 64 * k);
#pragma clang loop unroll(full)
      for (int t = 0; t < n; t++) {
        int32_t four;
        __builtin_memcpy(&four, a + (size_t)t * stride + 4 * k, 4);
        __m512i all = _mm512_set1_epi32(four);
        dots[0][t] = _mm512_dpbusd_epi32(dots[0][t], u, all);
        if (r == 2) dots[1][t] = _mm512_dpbusd_epi32(dots[1][t], v, all);
      }
    }
    const float *scales = (const float *)(tile + columns * 16) + 16 * g;
#pragma clang loop unroll(full)
    for (int i = 0; i < r; i++) {
      __m512 s = _mm512_load_ps((const float *)((const char *)scales + (size_t)i * bytes));
      __m512 m = _mm512_load_ps((const float *)((const char *)(scales + columns) + (size_t)i * bytes));
#pragma clang loop unroll(full)
      for (int t = 0; t < n; t++) {
        const float *d = (const float *)((const char *)first.d + (size_t)t * stride);
        __m512 factor = _mm512_mul_ps(s, _mm512_set1_ps(d[g * (size_t)group / 32]));
        acc[i][t] = _mm512_fmadd_ps(CK(to_floats)(dots[i][t]), factor, acc[i][t]);
        if (offsets) {
          float sum = ((const float *)(sums + (size_t)t * stride))[g];
          acc[i][t] = _mm512_fmadd_ps(m, _mm512_set1_ps(sum), acc[i][t]);
        }
      }
    }
  }
}

CK_INLINE void CK(block_store)(const int r, const int n, __m512 acc[2][CK(tokens_at_once)], float *y,
                               size_t y_stride, size_t rows) {
#pragma clang loop unroll(full)
  for (int i = 0; i < r; i++) {
    size_t left = rows - 16 * (size_t)i, count = left < 16 ? left : 16;
#pragma clang loop unroll(full)
    for (int t = 0; t < n; t++) {
      float *out = y + (size_t)t * y_stride + 16 * i;
      if (count == 16) _mm512_storeu_ps(out, acc[i][t]);
      else __builtin_memcpy(out, &acc[i][t], count * sizeof(float));
    }
  }
}

#define CK_BLOCK(R, N) \
  for (; t + N <= end; t += N) { \
    CK(block_times)(R, N, group, offsets, center, tile, columns, records, t, acc); \
    CK(block_store)(R, N, acc, y + t * y_stride, y_stride, rows); \
  }
#define CK_RANGE(NAME, GROUP, OFFSETS) \
  static void CK(NAME)(int center, const uint8_t *tile, size_t tiles, size_t columns, const void *records, \
                       size_t token, size_t count, float *y, size_t y_stride, size_t rows) { \
    const int group = GROUP, offsets = OFFSETS; \
    __m512 acc[2][CK(tokens_at_once)]; \
    size_t t = token, end = token + count; \
    if (tiles == 2) { \
      CK_BLOCK(2, 6) CK_BLOCK(2, 4) CK_BLOCK(2, 2) CK_BLOCK(2, 1) \
    } else { \
      CK_BLOCK(1, 6) CK_BLOCK(1, 4) CK_BLOCK(1, 2) CK_BLOCK(1, 1) \
    } \
  }
CK_RANGE(range_32, 32, 0)
CK_RANGE(range_32_offsets, 32, 1)
CK_RANGE(range_16, 16, 0)
CK_RANGE(range_16_offsets, 16, 1)
#undef CK_RANGE
#undef CK_BLOCK

static void CK(range)(int format, const uint8_t *tile, size_t tiles, size_t columns, const void *records,
                      size_t token, size_t count, float *y, size_t y_stride, size_t rows) {
  const int center = CK(center_bits)(format), wide = CK(group)(format) == 32;
  if (CK(has_offsets)(format)) {
    if (wide) CK(range_32_offsets)(0, tile, tiles, columns, records, token, count, y, y_stride, rows);
    else CK(range_16_offsets)(0, tile, tiles, columns, records, token, count, y, y_stride, rows);
  } else {
    if (wide) CK(range_32)(center, tile, tiles, columns, records, token, count, y, y_stride, rows);
    else CK(range_16)(center, tile, tiles, columns, records, token, count, y, y_stride, rows);
  }
}
