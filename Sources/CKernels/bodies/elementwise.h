// Operations element by element, and the reductions that need no exponential. No include guard.

// Plain loops: the compiler turns them into the vectors of each instruction set.
static void CK(add)(const float *x, float *y, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] += x[i];
}

static void CK(add_scaled)(float a, const float *x, float *y, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] = a * x[i] + y[i];
}

static void CK(scale)(float a, float *x, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] *= a;
}

static void CK(multiply)(const float *x, float *y, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] *= x[i];
}

static void CK(relu)(float *x, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] = x[i] < 0 ? 0 : x[i];
}

// The largest |x| as bits: compared as integers, NaN stands above infinity, and infinity above all numbers.
CK_INLINE int32_t CK(largest_bits)(const float *x, size_t count) {
  CK(i16v) most = {0};
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    most = __builtin_elementwise_max(most, (CK(i16v))CK(load)(x + i) & 0x7fffffff);
  }
  most = __builtin_elementwise_max(most, (CK(i16v))CK(load_part)(x + i, count - i, 0) & 0x7fffffff);
  return __builtin_reduce_max(most);
}

static float CK(absolute_maximum)(const float *x, size_t count) {
  int32_t bits = CK(largest_bits)(x, count);
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

static int CK(all_finite)(const float *x, size_t count) { return CK(largest_bits)(x, count) < 0x7f800000; }

// The largest x, NaN left out; −∞ for none.
CK_INLINE float CK(maximum)(const float *x, size_t count) {
  CK(f16v) most = (CK(f16v)){0} - __builtin_inff();
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    CK(f16v) v = CK(load)(x + i);
    most = CK(select)(v > most, v, most);
  }
  CK(f16v) v = CK(load_part)(x + i, count - i, -__builtin_inff());
  most = CK(select)(v > most, v, most);
  float result = most[0];
  for (int l = 1; l < 16; l++) result = most[l] > result ? most[l] : result;
  return result;
}

static size_t CK(argmax)(const float *x, size_t count) {
  float most = CK(maximum)(x, count);
  for (size_t i = 0; i < count; i++) {
    if (x[i] == most) return i;
  }
  return 0;
}

static void CK(rotate_halves)(float *x, const float *cosine, const float *sine, size_t half) {
  for (size_t i = 0; i < half; i++) {
    float a = x[i], b = x[i + half];
    x[i] = a * cosine[i] - b * sine[i];
    x[i + half] = b * cosine[i] + a * sine[i];
  }
}

static void CK(rotate_pairs)(float *x, const float *cosine, const float *sine, size_t half) {
  for (size_t i = 0; i < half; i++) {
    float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cosine[i] - b * sine[i];
    x[2 * i + 1] = b * cosine[i] + a * sine[i];
  }
}
