// Products of many tokens with rows that are unpacked once. No include guard.
//
// CK_LANES rows are interleaved by four codes, so that one vector holds four consecutive codes of each row,
// and four activations, broadcast, meet all of them: a sum needs no horizontal step, and a lane is a row.
// CK(group_sums) (one for each instruction set) does the integers.

typedef float CK(flane) __attribute__((vector_size(4 * CK_LANES)));

// The tile of CK_LANES rows in scratch: codes, then scales and offsets, group after group.
CK_INLINE size_t CK(tile_bytes)(size_t columns) {
  return columns * CK_LANES + 2 * (columns / 16) * CK_LANES * sizeof(float);
}

// How many tiles are unpacked together, to stay in the second-level cache while tokens stream by.
CK_INLINE size_t CK(tiles_together)(size_t columns) {
  size_t fit = CK_TILE_CACHE / CK(tile_bytes)(columns);
  return fit < 1 ? 1 : fit > 4 ? 4 : fit;
}

CK_INLINE void CK(pack_tile)(const int format, const uint8_t *rows, size_t row_bytes, size_t row_count,
                             size_t columns, uint8_t *tile) {
  const size_t block = CK(block)(format), group = (size_t)CK(group)(format);
  float *scales = (float *)(tile + columns * CK_LANES);
  float *offsets = scales + columns / 16 * CK_LANES;
  if (row_count < CK_LANES) __builtin_memset(tile, 0, CK(tile_bytes)(columns));
  uint8_t u[256] __attribute__((aligned(64)));
  float s[16], m[16];
  for (size_t at = 0; at < columns; at += block) {
    for (size_t r = 0; r < row_count; r++) {
      CK(unpack)(format, rows + r * row_bytes + at / block * CK(block_bytes)(format), u, s, m);
      for (size_t k = 0; k < block; k += 4) {
        uint32_t four;
        __builtin_memcpy(&four, u + k, 4);
        if (CK(kind)(format) == CK_KIND_WIDE && CK_WIDE_OFFSET != 0) four ^= 0x80808080;
        __builtin_memcpy(tile + (at + k) * CK_LANES + 4 * r, &four, 4);
      }
      for (size_t g = 0; g < block / group; g++) {
        size_t index = (at / group + g) * CK_LANES + r;
        scales[index] = s[g];
        offsets[index] = CK(kind)(format) == CK_KIND_WIDE ? -(float)CK_WIDE_OFFSET * s[g] : m[g];
      }
    }
  }
}

// CK_LANES rows times `n` (a constant) tokens.
CK_INLINE void CK(tile_times)(const int kind, const int group, const int n, const uint8_t *tile,
                              size_t columns, const void *records, size_t token, float *y, size_t y_stride,
                              size_t rows) {
  const int has_offsets = kind != CK_KIND_WIDE || CK_WIDE_OFFSET != 0;
  const float *scales = (const float *)(tile + columns * CK_LANES);
  const float *offsets = scales + columns / 16 * CK_LANES;
  size_t stride = ck_record_bytes(columns);
  CK(record) first = CK(open_record)(records, token, columns);
  const float *sums = group == 32 ? first.sums32 : first.sums16;
  CK(flane) acc[CK_TOKENS];
  for (int t = 0; t < n; t++) acc[t] = (CK(flane)){0};
  for (size_t g = 0; g < columns / (size_t)group; g++) {
    CK(ilane) dots[CK_TOKENS];
    CK(group_sums)(kind, group / 4, n, tile + g * (size_t)group * CK_LANES, first.codes + g * (size_t)group,
                   stride, dots);
    CK(flane) s, m;
    __builtin_memcpy(&s, scales + g * CK_LANES, sizeof s);
    __builtin_memcpy(&m, offsets + g * CK_LANES, sizeof m);
    for (int t = 0; t < n; t++) {
      const float *d = (const float *)((const char *)first.d + (size_t)t * stride);
      const float *sum = (const float *)((const char *)sums + (size_t)t * stride);
      acc[t] = __builtin_convertvector(dots[t], CK(flane)) * (s * d[g * (size_t)group / 32]) + acc[t];
      if (has_offsets) acc[t] = m * sum[g] + acc[t];
    }
  }
  for (int t = 0; t < n; t++) {
    float *out = y + (token + (size_t)t) * y_stride;
    if (rows == CK_LANES) {
      __builtin_memcpy(out, &acc[t], sizeof acc[t]);
    } else {
      for (size_t r = 0; r < rows; r++) out[r] = acc[t][r];
    }
  }
}

// One packed tile times tokens `from` ..< `to`.
#define CK_TILE_RANGE(NAME, KIND, GROUP) \
  static void CK(NAME)(const uint8_t *tile, size_t columns, const void *records, size_t from, size_t to, \
                       float *y, size_t y_stride, size_t rows) { \
    size_t t = from; \
    for (; t + CK_TOKENS <= to; t += CK_TOKENS) \
      CK(tile_times)(KIND, GROUP, CK_TOKENS, tile, columns, records, t, y, y_stride, rows); \
    for (; t + 2 <= to; t += 2) \
      CK(tile_times)(KIND, GROUP, 2, tile, columns, records, t, y, y_stride, rows); \
    for (; t < to; t++) CK(tile_times)(KIND, GROUP, 1, tile, columns, records, t, y, y_stride, rows); \
  }
CK_TILE_RANGE(range_4, CK_KIND_4, 32)
CK_TILE_RANGE(range_5, CK_KIND_5, 32)
CK_TILE_RANGE(range_wide, CK_KIND_WIDE, 32)
CK_TILE_RANGE(range_4_16, CK_KIND_4, 16)
CK_TILE_RANGE(range_6_16, CK_KIND_6, 16)
#undef CK_TILE_RANGE

static void CK(pack)(int format, const uint8_t *rows, size_t row_bytes, size_t row_count, size_t columns,
                     uint8_t *tile) {
#define CK_CASE(F) \
  case F: CK(pack_tile)(F, rows, row_bytes, row_count, columns, tile); break;
  switch (format) { CK_FOR_EACH_BLOCK_FORMAT(CK_CASE) }
#undef CK_CASE
}

static void CK(range)(int format, const uint8_t *tile, size_t columns, const void *records, size_t from,
                      size_t to, float *y, size_t y_stride, size_t rows) {
  switch (CK(kind)(format)) {
  case CK_KIND_WIDE: CK(range_wide)(tile, columns, records, from, to, y, y_stride, rows); break;
  case CK_KIND_6: CK(range_6_16)(tile, columns, records, from, to, y, y_stride, rows); break;
  case CK_KIND_5: CK(range_5)(tile, columns, records, from, to, y, y_stride, rows); break;
  default:
    if (CK(group)(format) == 16) {
      CK(range_4_16)(tile, columns, records, from, to, y, y_stride, rows);
    } else {
      CK(range_4)(tile, columns, records, from, to, y, y_stride, rows);
    }
  }
}

static void CK(multiply_tile)(int format, const void *rows, size_t row_bytes, size_t row_count,
                              size_t columns, const void *records, size_t tokens, float *y, size_t y_stride,
                              void *scratch) {
  const size_t together = CK(tiles_together)(columns), bytes = CK(tile_bytes)(columns), batch = 32;
  for (size_t row = 0; row < row_count; row += together * CK_LANES) {
    size_t tiles = 0;
    for (size_t r = row; r < row_count && tiles < together; r += CK_LANES, tiles++) {
      size_t count = row_count - r < CK_LANES ? row_count - r : CK_LANES;
      CK(pack)(format, (const uint8_t *)rows + r * row_bytes, row_bytes, count, columns,
               (uint8_t *)scratch + tiles * bytes);
    }
    for (size_t from = 0; from < tokens; from += batch) {
      size_t to = tokens - from < batch ? tokens : from + batch;
      for (size_t i = 0; i < tiles; i++) {
        size_t r = row + i * CK_LANES;
        size_t count = row_count - r < CK_LANES ? row_count - r : CK_LANES;
        CK(range)(format, (uint8_t *)scratch + i * bytes, columns, records, from, to, y + r, y_stride, count);
      }
    }
  }
}
