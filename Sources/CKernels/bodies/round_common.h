// What the roundings share: tiles, rounding, halves, reductions over lanes. Included once for each instruction set by round.c.
// No include guard.

// The heavy loops run on as many lanes as a register has: all sixteen, or eight twice.
#if CK_WIDE
typedef ck_v16 NAME(lanes);
enum { NAME(parts) = 1 };
#define PART(v, part) (v)
#define JOIN(v) ((v)[0])
#else
typedef ck_v8 NAME(lanes);
enum { NAME(parts) = 2 };
#define PART(v, part) ((part) ? (v).hi : (v).lo)
#define JOIN(v) NAME(join)((v)[0], (v)[1])
#endif

CK_INLINE ck_v16 NAME(join)(ck_v8 low, ck_v8 high) {
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

// The lanes of one part of a vector of a tile.
CK_INLINE NAME(lanes) NAME(take)(const ck_v16 *v, int part) {
  NAME(lanes) result;
  __builtin_memcpy(&result, (const char *)v + part * sizeof result, sizeof result);
  return result;
}

CK_INLINE ck_v16 NAME(all)(float v) { return (ck_v16)v; }
CK_INLINE ck_v16 NAME(least)(ck_v16 a, ck_v16 b) { return a < b ? a : b; }
CK_INLINE ck_v16 NAME(most)(ck_v16 a, ck_v16 b) { return a > b ? a : b; }

// To the nearest integer, halves to even; for magnitudes below 2²².
CK_INLINE NAME(lanes) NAME(round_part)(NAME(lanes) v) {
#if CK_ROUNDS
  return __builtin_elementwise_roundeven(v);
#else
  const NAME(lanes) magic = (NAME(lanes))12582912.0f;
  return (v + magic) - magic;
#endif
}

CK_INLINE ck_v16 NAME(round)(ck_v16 v) {
  const ck_v16 magic = (ck_v16)12582912.0f;
  return (v + magic) - magic;
}

// The whole number from low to high nearest to v; what is no number becomes low.
CK_INLINE NAME(lanes) NAME(code)(NAME(lanes) v, NAME(lanes) low, NAME(lanes) high) {
  v = v > low ? v : low;
  return NAME(round_part)(v < high ? v : high);
}

// Between low and high; what is no number becomes low.
CK_INLINE ck_v16 NAME(clamp)(ck_v16 v, float low, float high) {
  return NAME(least)(NAME(most)(v, NAME(all)(low)), NAME(all)(high));
}

// 1 / v, 0 for 0.
CK_INLINE ck_v16 NAME(inverse)(ck_v16 v) { return v == 0 ? 0 : 1 / v; }

CK_INLINE ck_n16 NAME(bits)(ck_v16 v) {
  ck_n16 result;
  __builtin_memcpy(&result, &v, sizeof result);
  return result;
}

CK_INLINE ck_v16 NAME(floats)(ck_n16 v) {
  ck_v16 result;
  __builtin_memcpy(&result, &v, sizeof result);
  return result;
}

CK_INLINE ck_v16 NAME(magnitude)(ck_v16 v) { return NAME(floats)(NAME(bits)(v) & 0x7fffffff); }

// ck_float_to_half of finite numbers.
CK_INLINE ck_n16 NAME(to_half)(ck_v16 v) {
  ck_n16 bits = NAME(bits)(v), sign = bits & (ck_n16)INT32_MIN;
  bits ^= sign;
  ck_n16 small = NAME(bits)(NAME(floats)(bits) + 0.5f) - 0x3f000000;
  ck_n16 normal = (bits - 0x38000000 + 0xfff + ((bits >> 13) & 1)) >> 13;
  ck_n16 half = bits < 0x38800000 ? small : normal;
  half = bits >= 0x477ff000 ? 0x7bff : half;
  return half | ((sign >> 16) & 0x8000);
}

// ck_half_to_float of finite numbers.
CK_INLINE ck_v16 NAME(from_half)(ck_n16 half) {
  ck_n16 magnitude = half & 0x7fff;
  ck_v16 small = __builtin_convertvector(magnitude, ck_v16) * 0x1p-24f;
  ck_v16 value = magnitude < 0x400 ? small : NAME(floats)((magnitude << 13) + 0x38000000);
  return NAME(floats)(NAME(bits)(value) | (half & 0x8000) << 16);
}

// In every lane the sum of its eight, those below lane 8 and the others apart. The order is fixed.
CK_INLINE ck_v16 NAME(sum_eight)(ck_v16 v) {
  v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
  v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
  return v + __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
}

CK_INLINE ck_v16 NAME(most_of_eight)(ck_v16 v) {
  v = NAME(most)(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  v = NAME(most)(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
  return NAME(most)(v, __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
}

CK_INLINE ck_v16 NAME(swap_eights)(ck_v16 v) {
  return __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
}

// Eight rows of eight, turned.
CK_INLINE void NAME(turn)(const float *from, int stride, ck_v8 s[8]) {
  ck_v8 r[8];
  for (int i = 0; i < 8; i++) __builtin_memcpy(&r[i], from + i * stride, 32);
  for (int i = 0; i < 8; i += 2) {
    s[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    s[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int k = 0; k < 2; k++) {
      r[i + k] = __builtin_shufflevector(s[i + k], s[i + k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      r[i + k + 2] = __builtin_shufflevector(s[i + k], s[i + k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int i = 0; i < 4; i++) {
    s[i] = __builtin_shufflevector(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    s[i + 4] = __builtin_shufflevector(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

// The tile of 16 groups of n weights (16 or 32) that follow each other, and the extremes of each.
CK_INLINE void NAME(load_tile)(const float *x, int n, ck_tile *t) {
  for (int i = 0; i < n; i += 8) {
    ck_v8 first[8], second[8];
    NAME(turn)(x + i, n, first);
    NAME(turn)(x + 8 * n + i, n, second);
    for (int k = 0; k < 8; k++) t->x[i + k] = NAME(join)(first[k], second[k]);
  }
  t->least = t->most = t->x[0];
  for (int i = 1; i < n; i++) {
    t->least = NAME(least)(t->x[i], t->least);
    t->most = NAME(most)(t->x[i], t->most);
  }
}

// Brings the tile to units of the peaks' powers of two. Lanes all of whose scales would be zero in half precision become zeros.
CK_INLINE void NAME(normalize)(int n, ck_v16 peak, ck_tile *t) {
  ck_n16 lives = peak >= 0x1p-40f;
  ck_n16 bits = NAME(bits)(peak) & 0x7f800000;
  bits = bits > 0x7e800000 ? (ck_n16)0x7e800000 : bits;  // 2^126, whose inverse is a normal number
  t->unit = lives ? NAME(floats)(bits) : 1;
  t->inverse = 1 / t->unit;
  ck_v16 inverse = lives ? t->inverse : 0;
  t->least *= inverse;
  t->most *= inverse;
  ck_v16 even = 0, odd = 0;
  for (int i = 0; i < n; i += 2) {
    t->x[i] *= inverse;
    t->x[i + 1] *= inverse;
    even += t->x[i] * t->x[i];
    odd += t->x[i + 1] * t->x[i + 1];
  }
  t->squares = even + odd;
}

// w = a + |x|.
CK_INLINE void NAME(weigh_by_magnitude)(int n, ck_tile *t) {
  ck_v16 root = __builtin_elementwise_sqrt(t->squares / (float)n);
  for (int i = 0; i < n; i++) t->w[i] = root + NAME(magnitude)(t->x[i]);
}

// A scale as it is stored, and what a reader makes of it, in the tile's units.
CK_INLINE ck_n16 NAME(store)(ck_v16 scale, const ck_tile *t) { return NAME(to_half)(scale * t->unit); }
CK_INLINE ck_v16 NAME(stored)(ck_n16 half, const ck_tile *t) { return NAME(from_half)(half) * t->inverse; }

// The codes, counted from `low`, for scales and offsets as they are stored.
CK_INLINE void NAME(tile_codes)(
  const ck_tile *t, int n, ck_v16 s, ck_v16 m, float low, float high, ck_tile_codes *codes) {
  ck_v16 inverse = NAME(inverse)(s), offset = -m * inverse;
  for (int k = 0; k < n / 4; k++) {
    ck_n16 word = 0;
    for (int j = 0; j < 4; j++) {
      ck_v16 q = NAME(round)(NAME(clamp)(t->x[4 * k + j] * inverse + offset, low, high)) - low;
      word |= __builtin_convertvector(q, ck_n16) << (8 * j);
    }
    codes->words[k] = word;
  }
}
