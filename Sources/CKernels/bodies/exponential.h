// The exponential, and the activation functions made of it. No include guard.
//
// exp x = 2ⁿ · exp r with n = round(x / ln 2) and |r| ≤ ln 2 / 2; ln 2 is taken off in two pieces, so that r
// is exact, and exp r is its Taylor series (error below 1e-8 of a float's, 1e-16 of a double's value).

// Below −87.3 the result is 0; above 88.3 it stays at exp 88.3. NaN stays NaN.
CK_INLINE CK(f16v) CK(exp)(CK(f16v) x) {
  const CK(f16v) zero = {0};
  CK(i16v) vanishes = x < zero - 87.3f;
  x = CK(select)(vanishes, zero, x);
  x = CK(select)(x > zero + 88.3f, zero + 88.3f, x);
  CK(f16v) shifted = x * 0x1.715476p+0f + 0x1.8p23f;
  CK(i16v) n = (CK(i16v))shifted - 0x4b400000;
  CK(f16v) whole = shifted - 0x1.8p23f;
  CK(f16v) r = x - whole * 0x1.62ep-1f;
  r = r - whole * 0x1.0bfbe8p-15f;
  CK(f16v) p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * (r * r) + r + 1.0f;
  CK(f16v) power = (CK(f16v))((n + 127) << 23);
  return CK(select)(vanishes, zero, p * power);
}

// The same in double precision, for x <= 0; below −700 the result is 0.
CK_INLINE CK(d16v) CK(exp_wide)(CK(d16v) x) {
  typedef int64_t l16v __attribute__((vector_size(128)));
  const CK(d16v) zero = {0};
  l16v vanishes = x < zero - 700.0;
  x = (CK(d16v))(~vanishes & (l16v)x);
  CK(d16v) shifted = x * 0x1.71547652b82fep+0 + 0x1.8p52;
  l16v n = (l16v)shifted - 0x4338000000000000;
  CK(d16v) whole = shifted - 0x1.8p52;
  CK(d16v) r = x - whole * 0x1.62e42fee00000p-1;
  r = r - whole * 0x1.a39ef35793c76p-33;
  CK(d16v) p = zero + 1.0 / 479001600;
  p = p * r + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * (r * r) + r + 1.0;
  CK(d16v) power = (CK(d16v))((n + 1023) << 52);
  return (CK(d16v))(~vanishes & (l16v)(p * power));
}

// x / (1 + exp(−y)).
CK_INLINE CK(f16v) CK(gated)(CK(f16v) x, CK(f16v) y) { return x / (CK(exp)(-y) + 1.0f); }

CK_INLINE CK(f16v) CK(silu_16)(CK(f16v) x) { return CK(gated)(x, x); }

// (1 + tanh z) / 2 = 1 / (1 + exp(−2z)).
CK_INLINE CK(f16v) CK(gelu_tanh_16)(CK(f16v) x) {
  return CK(gated)(x, 1.5957691216f * (x + 0.044715f * x * x * x));
}

// x · Φ(x). For t = |x|/√2, the tail 1 − Φ(|x|) is exp(−t²)·f(t)/2 with f = erfcx, fitted to 2e-8
// (relative) as u·P(u), u = 1 / (1 + t/2); the negative side keeps its relative precision this way.
CK_INLINE CK(f16v) CK(gelu_16)(CK(f16v) x) {
  const CK(f16v) zero = {0};
  CK(f16v) t = __builtin_elementwise_abs(x) * 0x1.6a09e6p-1f;
  CK(f16v) u = 1.0f / (t * 0.5f + 1.0f);
  CK(f16v) p = u * 0.012282275594770908f - 0.12324480712413788f;
  p = p * u + 0.4289027452468872f;
  p = p * u - 0.6699855327606201f;
  p = p * u + 0.421241819858551f;
  p = p * u - 0.0982995554804802f;
  p = p * u + 0.22553548216819763f;
  p = p * u + 0.23864619433879852f;
  p = p * u + 0.28285688161849976f;
  p = p * u + 0.2820644974708557f;
  CK(f16v) tail = p * u * 0.5f * CK(exp)(-(t * t));
  return x * CK(select)(x < zero, tail, 1.0f - tail);
}

#define CK_MAP(NAME, VALUE) \
  static void CK(NAME)(float *x, size_t count) { \
    size_t i = 0; \
    for (; i + 16 <= count; i += 16) CK(store)(x + i, VALUE(CK(load)(x + i))); \
    if (i < count) CK(store_part)(x + i, VALUE(CK(load_part)(x + i, count - i, 0)), count - i); \
  }
CK_MAP(gelu, CK(gelu_16))
CK_MAP(gelu_tanh, CK(gelu_tanh_16))
#undef CK_MAP

#define CK_MAP_MULTIPLY(NAME, VALUE) \
  static void CK(NAME)(float *x, const float *y, size_t count) { \
    size_t i = 0; \
    for (; i + 16 <= count; i += 16) CK(store)(x + i, VALUE(CK(load)(x + i)) * CK(load)(y + i)); \
    if (i < count) { \
      CK(f16v) v = VALUE(CK(load_part)(x + i, count - i, 0)) * CK(load_part)(y + i, count - i, 0); \
      CK(store_part)(x + i, v, count - i); \
    } \
  }
CK_MAP_MULTIPLY(silu_multiply, CK(silu_16))
CK_MAP_MULTIPLY(gelu_tanh_multiply, CK(gelu_tanh_16))
#undef CK_MAP_MULTIPLY

static void CK(tanh)(float *x, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] = tanhf(x[i]);
}
