// Products of many tokens with rows that are unpacked once. No include guard.
//
// CK_LANES rows are interleaved by four codes, so that one vector holds four consecutive codes of each row,
// and four activations, broadcast, meet all of them: a sum needs no horizontal step, and a lane is a row.
// CK(group_sums) (one for each instruction set) does the integers.

typedef float CK(flane) __attribute__((vector_size(4 * CK_LANES)));

// What is taken off every code u of a format whose blocks store no offsets, as an integer: its power of two, −1 for
// nothing.
CK_INLINE int CK(center_bits)(const int format) {
  switch (format) {
  case CK_Q3_K: return 2;
  case CK_Q4_0: return 3;
  case CK_Q5_0: return 4;
  case CK_Q6_K: return 5;
  default: return CK(kind)(format) == CK_KIND_WIDE && CK_WIDE_OFFSET != 0 ? 7 : -1;
  }
}

CK_INLINE int CK(has_offsets)(const int format) {
  return CK(kind)(format) != CK_KIND_WIDE && CK(center_bits)(format) < 0;
}

// Tiles that are multiplied together, and tokens that pass them before the next tiles come.
#ifdef CK_ROWS_512
enum { CK(tiles_at_once) = 2, CK(batch) = 48 };
#elif defined(CK_TILES_256)
enum { CK(tiles_at_once) = 2, CK(batch) = 48 };
#else
enum { CK(tiles_at_once) = 1, CK(batch) = 32 };
#endif

// The tile of CK_LANES rows in scratch: codes, then scales and offsets, group after group.
CK_INLINE size_t CK(tile_bytes)(size_t columns) {
  return columns * CK_LANES + 2 * (columns / 16) * CK_LANES * sizeof(float);
}

// How many tiles are unpacked together, to stay in the second-level cache while tokens stream by.
CK_INLINE size_t CK(tiles_together)(size_t columns) {
  size_t fit = CK_TILE_CACHE / CK(tile_bytes)(columns);
  return fit < CK(tiles_at_once) ? CK(tiles_at_once) : fit > 4 ? 4 : fit;
}

// The columns of a tile from `at` on, block after block.
CK_INLINE void CK(pack_blocks)(const int format, const uint8_t *rows, size_t row_bytes, size_t row_count,
                               size_t at, size_t columns, uint8_t *tile) {
  const size_t block = CK(block)(format), group = (size_t)CK(group)(format);
  float *scales = (float *)(tile + columns * CK_LANES);
  float *offsets = scales + columns / 16 * CK_LANES;
  uint8_t u[256] __attribute__((aligned(64)));
  float s[16], m[16];
  for (; at < columns; at += block) {
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
        offsets[index] = m[g];
      }
    }
  }
}

#ifdef CK_ROWS_512
#include "pack_512.h"
#elif defined(CK_TURNS_8)
#include "pack_8.h"
#else
CK_INLINE void CK(pack_tile)(const int format, const uint8_t *rows, size_t row_bytes, size_t row_count,
                             size_t columns, uint8_t *tile) {
  if (row_count < CK_LANES) __builtin_memset(tile, 0, CK(tile_bytes)(columns));
  CK(pack_blocks)(format, rows, row_bytes, row_count, 0, columns, tile);
}
#endif

static void CK(pack)(int format, const uint8_t *rows, size_t row_bytes, size_t row_count, size_t columns,
                     uint8_t *tile) {
#define CK_CASE(F) \
  case F: CK(pack_tile)(F, rows, row_bytes, row_count, columns, tile); break;
  switch (format) { CK_FOR_EACH_BLOCK_FORMAT(CK_CASE) }
#undef CK_CASE
}

#ifdef CK_ROWS_512
#include "tiles_512.h"
#else
#ifdef CK_TILES_256
#include "tiles_256.h"
#else
// CK_LANES rows times `n` (a constant) tokens.
CK_INLINE void CK(tile_times)(const int format, const int n, const uint8_t *tile, size_t columns,
                              const void *records, size_t token, float *y, size_t y_stride, size_t rows) {
  const int kind = CK(kind)(format), group = CK(group)(format), center = CK(center_bits)(format);
  const float *scales = (const float *)(tile + columns * CK_LANES);
  const float *offsets = scales + columns / 16 * CK_LANES;
  size_t stride = ck_record_bytes(columns);
  CK(record) first = CK(open_record)(records, token, columns);
  const float *sums = group == 32 ? first.sums32 : first.sums16;
  const int32_t *counts = group == 32 ? first.counts32 : first.counts16;
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
      const size_t at = (size_t)t * stride;
      if (center >= 0) dots[t] -= ((const int32_t *)((const char *)counts + at))[g] * (1 << center);
      const float *d = (const float *)((const char *)first.d + at);
      acc[t] = __builtin_convertvector(dots[t], CK(flane)) * (s * d[g * (size_t)group / 32]) + acc[t];
      if (CK(has_offsets)(format)) acc[t] = m * ((const float *)((const char *)sums + at))[g] + acc[t];
    }
  }
  for (int t = 0; t < n; t++) __builtin_memcpy(y + (token + (size_t)t) * y_stride, &acc[t], rows * sizeof(float));
}

// One packed tile times `count` tokens from `token` on. Formats of one kind, group and center share a function.
#define CK_TILE_RANGE(NAME, FORMAT) \
  static void CK(NAME)(const uint8_t *tile, size_t tiles, size_t columns, const void *records, size_t token, \
                       size_t count, float *y, size_t y_stride, size_t rows) { \
    (void)tiles;  /* one */ \
    size_t t = token, end = token + count; \
    for (; t + CK_TOKENS <= end; t += CK_TOKENS) \
      CK(tile_times)(FORMAT, CK_TOKENS, tile, columns, records, t, y, y_stride, rows); \
    for (; t + CK_TOKENS / 2 <= end; t += CK_TOKENS / 2) \
      CK(tile_times)(FORMAT, CK_TOKENS / 2, tile, columns, records, t, y, y_stride, rows); \
    for (; t < end; t++) CK(tile_times)(FORMAT, 1, tile, columns, records, t, y, y_stride, rows); \
  }
CK_TILE_RANGE(range_q4_0, CK_Q4_0)
CK_TILE_RANGE(range_q5_0, CK_Q5_0)
CK_TILE_RANGE(range_q8_0, CK_Q8_0)
CK_TILE_RANGE(range_q2_k, CK_Q2_K)
CK_TILE_RANGE(range_q3_k, CK_Q3_K)
CK_TILE_RANGE(range_q4_k, CK_Q4_K)
CK_TILE_RANGE(range_q5_k, CK_Q5_K)
CK_TILE_RANGE(range_q6_k, CK_Q6_K)
#undef CK_TILE_RANGE
#endif

static void CK(range)(int format, const uint8_t *tile, size_t tiles, size_t columns, const void *records,
                      size_t token, size_t count, float *y, size_t y_stride, size_t rows) {
  switch (format) {
  case CK_Q4_0: CK(range_q4_0)(tile, tiles, columns, records, token, count, y, y_stride, rows); break;
  case CK_Q5_0: CK(range_q5_0)(tile, tiles, columns, records, token, count, y, y_stride, rows); break;
  case CK_Q2_K: CK(range_q2_k)(tile, tiles, columns, records, token, count, y, y_stride, rows); break;
  case CK_Q3_K: CK(range_q3_k)(tile, tiles, columns, records, token, count, y, y_stride, rows); break;
  case CK_Q4_K: case CK_Q4_1: CK(range_q4_k)(tile, tiles, columns, records, token, count, y, y_stride, rows); break;
  case CK_Q5_K: case CK_Q5_1: CK(range_q5_k)(tile, tiles, columns, records, token, count, y, y_stride, rows); break;
  case CK_Q6_K: CK(range_q6_k)(tile, tiles, columns, records, token, count, y, y_stride, rows); break;
  default: CK(range_q8_0)(tile, tiles, columns, records, token, count, y, y_stride, rows);
  }
}
#endif

static void CK(multiply_tile)(int format, const void *rows, size_t row_bytes, size_t row_count,
                              size_t columns, const void *records, size_t tokens, float *y, size_t y_stride,
                              void *scratch) {
  const size_t together = CK(tiles_together)(columns), bytes = CK(tile_bytes)(columns), batch = CK(batch);
  for (size_t row = 0; row < row_count; row += together * CK_LANES) {
    size_t tiles = 0;
    for (size_t r = row; r < row_count && tiles < together; r += CK_LANES, tiles++) {
      size_t count = row_count - r < CK_LANES ? row_count - r : CK_LANES;
      CK(pack)(format, (const uint8_t *)rows + r * row_bytes, row_bytes, count, columns,
               (uint8_t *)scratch + tiles * bytes);
    }
    for (size_t token = 0; token < tokens; token += batch) {
      size_t count = tokens - token < batch ? tokens - token : batch, i = 0;
      while (i < tiles) {
        size_t r = row + i * CK_LANES, now = tiles - i < CK(tiles_at_once) ? 1 : CK(tiles_at_once);
        size_t left = row_count - r < now * CK_LANES ? row_count - r : now * CK_LANES;
        CK(range)(format, (uint8_t *)scratch + i * bytes, now, columns, records, token, count, y + r, y_stride,
                  left);
        i += now;
      }
    }
  }
}
