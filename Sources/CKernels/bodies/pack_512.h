// A tile of 16 rows for AVX-512: 64 codes of 16 rows change places as a square of 16 by 16 words. No include guard.

#include "transpose_512.h"

CK_INLINE void CK(pack_tile)(const int format, const uint8_t *rows, size_t row_bytes, size_t row_count,
                             size_t columns, uint8_t *tile) {
  const size_t bytes = 256 / CK(block)(format) * CK(block_bytes)(format), groups = 256 / (size_t)CK(group)(format);
  float *scales = (float *)(tile + columns * 16), *offsets = scales + columns;
  if (row_count < 16) __builtin_memset(tile, 0, CK(tile_bytes)(columns));
  CK(ck_w16v) squares[4][16], s[16], m[16];
  __builtin_memset(squares, 0, sizeof squares);
  __builtin_memset(s, 0, sizeof s);
  __builtin_memset(m, 0, sizeof m);
  size_t at = 0;
  for (; at + 256 <= columns; at += 256) {
    for (size_t r = 0; r < row_count; r++) {
      CK(codes_256) c;
      c.m = _mm512_setzero_ps();
      CK(wide_codes)(format, rows + r * row_bytes + at / 256 * bytes, &c);
#pragma clang loop unroll(full)
      for (int k = 0; k < 4; k++) {
        CK(ck_w16v) u = (CK(ck_w16v))c.u[k];
        if (CK(kind)(format) == CK_KIND_WIDE) u ^= 0x80808080;
        squares[k][r] = u;
      }
      s[r] = (CK(ck_w16v))c.s;
      m[r] = (CK(ck_w16v))c.m;
    }
#pragma clang loop unroll(disable)
    for (int k = 0; k < 4; k++) {
      CK(ck_w16v) v[16];
      __builtin_memcpy(v, squares[k], sizeof v);
      CK(transpose)(v);
      __builtin_memcpy(tile + (at + 64 * (size_t)k) * 16, v, sizeof v);
    }
    CK(ck_w16v) v[16];
    __builtin_memcpy(v, s, sizeof v);
    CK(transpose)(v);
    __builtin_memcpy(scales + at / 256 * groups * 16, v, groups * 64);
    if (!CK(has_offsets)(format)) continue;
    __builtin_memcpy(v, m, sizeof v);
    CK(transpose)(v);
    __builtin_memcpy(offsets + at / 256 * groups * 16, v, groups * 64);
  }
  CK(pack_blocks)(format, rows, row_bytes, row_count, at, columns, tile);
}
