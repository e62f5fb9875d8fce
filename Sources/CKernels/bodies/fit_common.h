// What the fits share: reductions, rounding, the block's preparation, and the formats that need no search.
// Included once for each instruction set by encode.c. No include guard.

CK_INLINE ck_v8 NAME(load)(const float *x) { return *(const ck_v8 *)x; }

// The sum of the lanes, in a fixed order.
CK_INLINE float NAME(sum)(ck_v8 v) {
  ck_v8 a = v + v.s45670123;
  ck_v8 b = a + a.s23016745;
  return b.s0 + b.s1;
}

CK_INLINE ck_v8 NAME(least)(ck_v8 a, ck_v8 b) { return a < b ? a : b; }
CK_INLINE ck_v8 NAME(most)(ck_v8 a, ck_v8 b) { return a > b ? a : b; }

CK_INLINE ck_v8 NAME(all)(float v) { return (ck_v8)v; }

#if CK_PAIRS
CK_INLINE ck_v16 NAME(join)(ck_v8 low, ck_v8 high) {
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
#endif

// The least of the lanes.
CK_INLINE float NAME(least_of)(ck_v8 v) {
  ck_v8 a = NAME(least)(v, v.s45670123);
  ck_v8 b = NAME(least)(a, a.s23016745);
  return b.s0 < b.s1 ? b.s0 : b.s1;
}

// The lane of the least element; the first of equals.
CK_INLINE int NAME(least_lane)(ck_v8 v) {
  const ck_v8 lanes = {0, 1, 2, 3, 4, 5, 6, 7};
  ck_i8 equal = v == NAME(all)(NAME(least_of)(v));
  return (int)NAME(least_of)(equal ? lanes : NAME(all)(7));
}

// To the nearest integer, halves to even; for magnitudes below 2²².
CK_INLINE ck_v8 NAME(round)(ck_v8 v) {
  const ck_v8 magic = (ck_v8)12582912.0f;
  return (v + magic) - magic;
}

// Between low and high; what is no number becomes low.
CK_INLINE ck_v8 NAME(clamp)(ck_v8 v, float low, float high) {
  return NAME(least)(NAME(most)(v, (ck_v8)low), (ck_v8)high);
}

// A scale as it is stored, and what a reader makes of it, in units of the block.
CK_INLINE uint16_t NAME(store)(float scale, const ck_block *b) { return ck_float_to_half(scale * b->unit); }
CK_INLINE float NAME(stored)(uint16_t half, const ck_block *b) { return ck_half_to_float(half) / b->unit; }

// The half that is `step` places further from zero; stays finite and keeps its sign.
CK_INLINE uint16_t NAME(neighbour)(uint16_t half, int step) {
  int magnitude = (half & 0x7fff) + step;
  magnitude = magnitude < 0 ? 0 : magnitude > 0x7bff ? 0x7bff : magnitude;
  return (uint16_t)((half & 0x8000) | magnitude);
}

CK_INLINE float NAME(largest)(const float *x, int count) {
  float result = 0;
  for (int i = 0; i < count; i++) {
    float magnitude = __builtin_fabsf(x[i]);
    result = magnitude > result ? magnitude : result;
  }
  return result;
}

// Copies x in units of its peak and makes the weights, group by group. Returns 0 when every half-precision
// scale for the block is zero.
static int NAME(prepare)(
  const float *x, const float *importance, int count, int group, float floor, ck_block *b) {
  float peak = NAME(largest)(x, count);
  if (!(peak >= 0x1p-40f)) return 0;
  uint32_t bits;
  __builtin_memcpy(&bits, &peak, 4);
  bits &= 0x7f800000u;
  bits = bits > 0x7e800000u ? 0x7e800000u : bits;  // 2^126, whose inverse is a normal number
  __builtin_memcpy(&b->unit, &bits, 4);
  float inverse = 1 / b->unit;
  ck_v8 squares = 0;
  for (int i = 0; i < count; i += 8) {
    ck_v8 v;
    __builtin_memcpy(&v, x + i, 32);
    v *= inverse;
    *(ck_v8 *)(b->x + i) = v;
    squares += v * v;
  }
  float top = importance ? NAME(largest)(importance, count) : 0;
  b->wide = top > 0 && top < __builtin_inff();
  if (b->wide) {
    float mean = 2 * NAME(sum)(squares) / (float)count;
    for (int i = 0; i < count; i++)
      b->w[i] = (importance[i] / top) * __builtin_sqrtf(mean + b->x[i] * b->x[i]);
    return 1;
  }
  for (int first = 0; first < count; first += group) {
    squares = 0;
    for (int i = first; i < first + group; i += 8) squares += NAME(load)(b->x + i) * NAME(load)(b->x + i);
    float root = __builtin_sqrtf(NAME(sum)(squares) / (float)group);
    for (int i = first; i < first + group; i++)
      b->w[i] = floor > 0 ? floor * root * root + b->x[i] * b->x[i] : root + __builtin_fabsf(b->x[i]);
  }
  return 1;
}

static void NAME(fit_q8_0)(const float *x, int8_t *codes, uint16_t *d) {
  float scale = NAME(largest)(x, 32) / 127;
  *d = ck_float_to_half(scale);
  if (scale > 65504) scale = 65504;
  float inverse = scale < 0x1p-120f ? 0 : 1 / scale;  // no infinity; the stored scale is zero long before
  for (int i = 0; i < 32; i++) {
    float value = x[i] * inverse;
    value = value > -127 ? value : -127;
    value = value < 127 ? value : 127;
    float whole = (float)(int)value;  // toward zero
    float rest = value - whole;
    whole += rest >= 0.5f ? 1 : rest <= -0.5f ? -1 : 0;
    codes[i] = (int8_t)(int)whole;
  }
}

static void NAME(encode_f16)(const float *x, void *bytes, size_t count) {
  typedef uint16_t u16_any __attribute__((aligned(1), may_alias));
  u16_any *y = bytes;
  for (size_t i = 0; i < count; i++) y[i] = ck_float_to_half(x[i]);
}

static void NAME(encode_bf16)(const float *x, void *bytes, size_t count) {
  typedef uint16_t u16_any __attribute__((aligned(1), may_alias));
  u16_any *y = bytes;
  for (size_t i = 0; i < count; i++) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x[i], 4);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    y[i] = (uint16_t)((bits & 0x7fffffff) > 0x7f800000u ? (bits >> 16) | 0x40 : rounded);
  }
}
