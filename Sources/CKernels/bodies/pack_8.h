// A tile of eight rows: 32 codes of eight rows change places as a square of 8 by 8 words. No include guard.

typedef uint32_t CK(w8v) __attribute__((vector_size(32)));

#define CK_ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define CK_ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define CK_PAIR_LOW(a, b) __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define CK_PAIR_HIGH(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define CK_HALF_LOW(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define CK_HALF_HIGH(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)

// Turns the square whose vectors start `stride` bytes apart, so that word j of vector i becomes word i of vector j, and
// writes it in one piece, `flip` applied to its bits.
CK_INLINE void CK(turn_8)(const void *from, size_t stride, void *to, uint32_t flip) {
  CK(w8v) v[8], w[8];
#pragma clang loop unroll(full)
  for (size_t i = 0; i < 8; i++) __builtin_memcpy(&v[i], (const char *)from + i * stride, 32);
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i += 2) {
    w[i] = CK_ZIP_LOW(v[i], v[i + 1]);
    w[i + 1] = CK_ZIP_HIGH(v[i], v[i + 1]);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i += 4) {
#pragma clang loop unroll(full)
    for (int j = 0; j < 2; j++) {
      v[i + 2 * j] = CK_PAIR_LOW(w[i + j], w[i + j + 2]);
      v[i + 2 * j + 1] = CK_PAIR_HIGH(w[i + j], w[i + j + 2]);
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) {
    w[i] = CK_HALF_LOW(v[i], v[i + 4]) ^ flip;
    w[i + 4] = CK_HALF_HIGH(v[i], v[i + 4]) ^ flip;
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i++) __builtin_memcpy((char *)to + 32 * i, &w[i], 32);
}

#undef CK_ZIP_LOW
#undef CK_ZIP_HIGH
#undef CK_PAIR_LOW
#undef CK_PAIR_HIGH
#undef CK_HALF_LOW
#undef CK_HALF_HIGH

CK_INLINE void CK(pack_tile)(const int format, const uint8_t *rows, size_t row_bytes, size_t row_count,
                             size_t columns, uint8_t *tile) {
  const size_t bytes = 256 / CK(block)(format) * CK(block_bytes)(format), groups = 256 / (size_t)CK(group)(format);
  const uint32_t flip = CK(kind)(format) == CK_KIND_WIDE && CK_WIDE_OFFSET != 0 ? 0x80808080 : 0;
  float *scales = (float *)(tile + columns * 8), *offsets = scales + columns / 16 * 8;
  uint8_t u[8 * 256] __attribute__((aligned(64)));
  float s[8 * 16] __attribute__((aligned(64))), m[8 * 16] __attribute__((aligned(64)));
  if (row_count < 8) {
    __builtin_memset(tile, 0, CK(tile_bytes)(columns));
    __builtin_memset(u, 0, sizeof u);
    __builtin_memset(s, 0, sizeof s);
    __builtin_memset(m, 0, sizeof m);
  }
  size_t at = 0;
  for (; at + 256 <= columns; at += 256) {
    for (size_t r = 0; r < row_count; r++) {
      const uint8_t *row = rows + r * row_bytes + at / 256 * bytes;
      if (CK(block)(format) == 256) CK(unpack)(format, row, u + 256 * r, s + 16 * r, m + 16 * r);
      else CK(unpack_8)(format, row, u + 256 * r, s + 16 * r, m + 16 * r);
    }
#pragma clang loop unroll(disable)
    for (size_t k = 0; k < 256; k += 32) CK(turn_8)(u + k, 256, tile + (at + k) * 8, flip);
    for (size_t g = 0; g < groups; g += 8) {
      CK(turn_8)(s + g, 64, scales + (at / 256 * groups + g) * 8, 0);
      if (CK(has_offsets)(format)) CK(turn_8)(m + g, 64, offsets + (at / 256 * groups + g) * 8, 0);
    }
  }
  CK(pack_blocks)(format, rows, row_bytes, row_count, at, columns, tile);
}
