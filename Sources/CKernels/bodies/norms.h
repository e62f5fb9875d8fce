// Norms, softmax and log-sum-exp. Sums are in double precision. No include guard.

CK_INLINE double CK(sum_wide)(const float *x, size_t count, double center, const int squares) {
  CK(d16v) sum = {0};
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    CK(d16v) v = CK(widen)(CK(load)(x + i)) - center;
    sum = squares ? v * v + sum : v + sum;
  }
  double rest = 0;
  for (; i < count; i++) {
    double v = (double)x[i] - center;
    rest += squares ? v * v : v;
  }
  return CK(sum16d)(sum) + rest;
}

static void CK(rms_norm)(const float *x, const float *weight, float epsilon, float *out, size_t count) {
  if (count == 0) return;
  double mean = CK(sum_wide)(x, count, 0, 1) / (double)count;
  float inverse = (float)(1 / __builtin_sqrt(mean + (double)epsilon));
  for (size_t i = 0; i < count; i++) out[i] = x[i] * inverse * weight[i];
}

static void CK(layer_norm)(const float *x, const float *weight, const float *bias, float epsilon, float *out,
                           size_t count) {
  if (count == 0) return;
  double mean = CK(sum_wide)(x, count, 0, 0) / (double)count;
  double variance = CK(sum_wide)(x, count, mean, 1) / (double)count;
  float center = (float)mean, inverse = (float)(1 / __builtin_sqrt(variance + (double)epsilon));
  if (bias) {
    for (size_t i = 0; i < count; i++) out[i] = (x[i] - center) * inverse * weight[i] + bias[i];
  } else {
    for (size_t i = 0; i < count; i++) out[i] = (x[i] - center) * inverse * weight[i];
  }
}

// Softmax in place; returns log Σ exp x.
static float CK(softmax_log)(float *x, size_t count) {
  float most = CK(maximum)(x, count);
  if (most == -__builtin_inff()) {
    // All −∞ (or nothing): no weight at all. A NaN among them must still be seen.
    for (size_t i = 0; i < count; i++) x[i] = x[i] == most ? 0 : x[i];
    return most;
  }
  CK(d16v) sums = {0};
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    CK(f16v) v = CK(exp)(CK(load)(x + i) - most);
    CK(store)(x + i, v);
    sums += CK(widen)(v);
  }
  if (i < count) {
    CK(f16v) v = CK(exp)(CK(load_part)(x + i, count - i, -__builtin_inff()) - most);
    CK(store_part)(x + i, v, count - i);
    sums += CK(widen)(v);
  }
  double sum = CK(sum16d)(sums);
  CK(scale)((float)(1 / sum), x, count);
  return most + logf((float)sum);
}

static void CK(softmax)(float *x, size_t count) { CK(softmax_log)(x, count); }

static double CK(log_sum_exp)(const float *x, size_t count) {
  float most = CK(maximum)(x, count);
  if (most == __builtin_inff()) return (double)most;
  if (most == -__builtin_inff()) {
    return count > 0 && CK(largest_bits)(x, count) > 0x7f800000 ? (double)__builtin_nanf("") : (double)most;
  }
  CK(d16v) sums = {0};
  size_t i = 0;
  for (; i + 16 <= count; i += 16) sums += CK(exp_wide)(CK(widen)(CK(load)(x + i)) - (double)most);
  CK(f16v) rest = CK(load_part)(x + i, count - i, -__builtin_inff());
  sums += CK(exp_wide)(CK(widen)(rest) - (double)most);
  return (double)most + log(CK(sum16d)(sums));
}

static double CK(log_divergence)(const float *x, double x_log, const float *y, double y_log, size_t count) {
  CK(d16v) sums = {0};
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    CK(d16v) p = CK(widen)(CK(load)(x + i)) - x_log;
    CK(d16v) q = CK(widen)(CK(load)(y + i)) - y_log;
    sums += CK(exp_wide)(p) * (p - q);
  }
  if (i < count) {
    // Beyond the end p is so small that its weight is 0.
    CK(d16v) p = CK(widen)(CK(load_part)(x + i, count - i, -3e38f)) - x_log;
    CK(d16v) q = CK(widen)(CK(load_part)(y + i, count - i, 0)) - y_log;
    sums += CK(exp_wide)(p) * (p - q);
  }
  return CK(sum16d)(sums);
}
