// Gradients of what lies between products, and the optimizer's step. No include guard.

// x · σ(x) has the slope σ(x) · (1 + x · (1 − σ(x))).
static void CK(silu_back)(float *gate, float *up, const float *gradient, size_t count) {
  for (size_t i = 0; i < count; i += 16) {
    const size_t n = count - i < 16 ? count - i : 16;
    const CK(f16v) x = n == 16 ? CK(load)(gate + i) : CK(load_part)(gate + i, n, 0);
    const CK(f16v) u = n == 16 ? CK(load)(up + i) : CK(load_part)(up + i, n, 0);
    const CK(f16v) g = n == 16 ? CK(load)(gradient + i) : CK(load_part)(gradient + i, n, 0);
    const CK(f16v) sigmoid = 1.0f / (CK(exp)(-x) + 1.0f);
    const CK(f16v) a = g * u * sigmoid * (1.0f + x * (1.0f - sigmoid)), b = g * x * sigmoid;
    if (n == 16) {
      CK(store)(gate + i, a);
      CK(store)(up + i, b);
    } else {
      CK(store_part)(gate + i, a, n);
      CK(store_part)(up + i, b, n);
    }
  }
}

static void CK(rms_norm_back)(const float *x, const float *weight, float inverse, float *gradient, size_t count) {
  if (count == 0) return;
  CK(d16v) sums = {0};
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    sums += CK(widen)(CK(load)(x + i)) * CK(widen)(CK(load)(weight + i) * CK(load)(gradient + i));
  }
  double rest = 0;
  for (; i < count; i++) rest += (double)x[i] * (double)(weight[i] * gradient[i]);
  const double square = (double)inverse * (double)inverse;
  const float pull = (float)((CK(sum16d)(sums) + rest) / (double)count * square);
  for (i = 0; i < count; i++) gradient[i] = inverse * (weight[i] * gradient[i] - x[i] * pull);
}

static void CK(add_scaled_product)(float a, const float *x, const float *y, float *sum, size_t count) {
  for (size_t i = 0; i < count; i++) sum[i] = a * x[i] * y[i] + sum[i];
}

static void CK(softmax_back)(const float *p, float *d, size_t count) {
  CK(f16v) sums = {0};
  size_t i = 0;
  for (; i + 16 <= count; i += 16) sums = CK(load)(p + i) * CK(load)(d + i) + sums;
  float sum = CK(sum16)(sums);
  for (; i < count; i++) sum = p[i] * d[i] + sum;
  for (i = 0; i < count; i++) d[i] = p[i] * (d[i] - sum);
}

CK_INLINE CK(f16v) CK(adamw_16)(const ck_adamw_step *s, CK(f16v) w, CK(f16v) g, CK(f16v) *m, CK(f16v) *v) {
  g = g * s->gradient_scale;
  *m = s->first * *m + (1.0f - s->first) * g;
  *v = s->second * *v + (1.0f - s->second) * (g * g);
  const CK(f16v) root = __builtin_elementwise_sqrt(*v * s->second_scale) + s->epsilon;
  const CK(f16v) next = w - s->decay * w - s->rate * (*m * s->first_scale) / root;
  if (!s->keeps_zeros) return next;
  return CK(select)(w == (CK(f16v)){0}, w, next);
}

static void CK(adamw)(const ck_adamw_step *step, float *weights, const float *gradients, float *first, float *second,
                      size_t count) {
  for (size_t i = 0; i < count; i += 16) {
    const size_t n = count - i < 16 ? count - i : 16;
    if (n == 16) {
      CK(f16v) m = CK(load)(first + i), v = CK(load)(second + i);
      CK(store)(weights + i, CK(adamw_16)(step, CK(load)(weights + i), CK(load)(gradients + i), &m, &v));
      CK(store)(first + i, m);
      CK(store)(second + i, v);
    } else {
      CK(f16v) m = CK(load_part)(first + i, n, 0), v = CK(load_part)(second + i, n, 0);
      CK(f16v) w = CK(adamw_16)(step, CK(load_part)(weights + i, n, 0), CK(load_part)(gradients + i, n, 0), &m, &v);
      CK(store_part)(weights + i, w, n);
      CK(store_part)(first + i, m, n);
      CK(store_part)(second + i, v, n);
    }
  }
}
