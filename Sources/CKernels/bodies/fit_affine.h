// Fits of y = s·q + m, 0 ≤ q ≤ high: a scale and a minimum a block, or 256 weights whose groups share two
// half-precision scales. Included once for each instruction set by encode.c. No include guard.

static ck_affine_sums NAME(affine_sums)(const float *x, const float *w, int n, float s, float m, float high) {
  ck_v8 ee = 0, eq = 0, e1 = 0, qq = 0, q1 = 0, w1 = 0;
  float inverse = s == 0 ? 0 : 1 / s;
  for (int i = 0; i < n; i += 8) {
    ck_v8 v = NAME(load)(x + i), weight = NAME(load)(w + i);
    ck_v8 q = NAME(round)(NAME(clamp)((v - m) * inverse, 0, high));
    ck_v8 e = (v - m) - s * q;
    ck_v8 we = weight * e, wq = weight * q;
    ee += we * e;
    eq += we * q;
    e1 += we;
    qq += wq * q;
    q1 += wq;
    w1 += weight;
  }
  return (ck_affine_sums){
    NAME(sum)(ee), NAME(sum)(eq), NAME(sum)(e1), NAME(sum)(qq), NAME(sum)(q1), NAME(sum)(w1)};
}

static float NAME(affine_error)(const float *x, const float *w, int n, float s, float m, float high) {
  ck_v8 ee = 0;
  float inverse = s == 0 ? 0 : 1 / s;
  for (int i = 0; i < n; i += 8) {
    ck_v8 v = NAME(load)(x + i) - m;
    ck_v8 q = NAME(round)(NAME(clamp)(v * inverse, 0, high));
    ck_v8 e = v - s * q;
    ee += NAME(load)(w + i) * e * e;
  }
  return NAME(sum)(ee);
}

// The best s and m for the codes that the sums were taken with. With `below`, m stays ≤ 0.
CK_INLINE ck_affine_fit NAME(affine_solve)(const ck_affine_sums *a, float s, float m, int below) {
  float determinant = a->qq * a->w1 - a->q1 * a->q1, ds = 0, dm = 0;
  if (determinant > 1e-6f * a->qq * a->w1) {
    ds = (a->eq * a->w1 - a->e1 * a->q1) / determinant;
    dm = (a->e1 * a->qq - a->eq * a->q1) / determinant;
  }
  if (below && m + dm > 0) {
    dm = -m;
    ds = a->qq > 0 ? (a->eq - dm * a->q1) / a->qq : 0;
  }
  float error = a->ee - 2 * ds * a->eq - 2 * dm * a->e1 + ds * ds * a->qq + 2 * ds * dm * a->q1
    + dm * dm * a->w1;
  return (ck_affine_fit){s + ds, m + dm, error};
}

// The scale and minimum with the least error: both ends of the range drawn in, each with the best s and m for
// its codes, then codes and s, m in turn. The scale is never negative.
static ck_affine_fit NAME(search_affine)(const float *x, const float *w, int n, float high, int below) {
  float least = x[0], most = x[0];
  for (int i = 1; i < n; i++) {
    least = x[i] < least ? x[i] : least;
    most = x[i] > most ? x[i] : most;
  }
  if (below && least > 0) least = 0;
  if (below && most < 0) most = 0;
  float range = most - least;
  if (!(range > 0x1p-60f)) {
    float m = below && least > 0 ? 0 : least;
    return (ck_affine_fit){0, m, NAME(affine_error)(x, w, n, 0, m, high)};
  }
  // How far the ends move in, in units of the plain step.
  static const float coarse[5] = {-0.1f, 0.15f, 0.4f, 0.65f, 0.9f};
  static const float narrow[5] = {-0.1f, 0.05f, 0.2f, 0.35f, 0.5f};
  const float *moves = high > 3 ? coarse : narrow;
  float step = range / high;
  ck_affine_fit best = {step, least, __builtin_inff()};
  for (int k = 0; k < 25; k++) {
    float low = least + moves[k / 5] * step, top = most - moves[k % 5] * step;
    if (below && low > 0) low = 0;
    float s = (top - low) / high;
    if (!(s > 0)) continue;
    ck_affine_sums sums = NAME(affine_sums)(x, w, n, s, low, high);
    ck_affine_fit fit = NAME(affine_solve)(&sums, s, low, below);
    if (fit.s > 0 && fit.error < best.error) best = fit;
  }
  for (int k = 0; k < 4; k++) {
    ck_affine_sums sums = NAME(affine_sums)(x, w, n, best.s, best.m, high);
    ck_affine_fit fit = NAME(affine_solve)(&sums, best.s, best.m, below);
    if (!(fit.s > 0 && fit.error < best.error)) break;
    best = fit;
  }
  return best;
}

// The codes for a scale and minimum as they are stored.
static void NAME(affine_codes)(const float *x, int n, float s, float m, float high, uint8_t *codes) {
  float inverse = s == 0 ? 0 : 1 / s;
  for (int i = 0; i < n; i++) {
    float t = (x[i] - m) * inverse;
    t = t > 0 ? t : 0;
    t = t < high ? t : high;
    codes[i] = (uint8_t)(int)((t + 12582912.0f) - 12582912.0f);
  }
}

static void NAME(fit_affine)(
  const float *x, const float *importance, int high, uint8_t *codes, uint16_t *d, uint16_t *m) {
  ck_block b;
  *d = *m = 0;
  for (int i = 0; i < 32; i++) codes[i] = 0;
  if (!NAME(prepare)(x, importance, 32, 32, &b)) return;
  ck_affine_fit fit = NAME(search_affine)(b.x, b.w, 32, (float)high, 0);
  uint16_t scale = NAME(store)(fit.s, &b), minimum = NAME(store)(fit.m, &b);
  float least = __builtin_inff();
  for (int k = 0; k < 25; k++) {
    uint16_t near = NAME(neighbour)(scale, k / 5 - 2), low = NAME(neighbour)(minimum, k % 5 - 2);
    float error = NAME(affine_error)(
      b.x, b.w, 32, NAME(stored)(near, &b), NAME(stored)(low, &b), (float)high);
    if (error < least) least = error, *d = near, *m = low;
  }
  NAME(affine_codes)(b.x, 32, NAME(stored)(*d, &b), NAME(stored)(*m, &b), (float)high, codes);
}

// What the groups of a super-block want, one lane a group: y = s·q − m and the error's curvature there.
typedef struct {
  ck_v8 s[2], m[2], qq[2], q1[2], w1[2];
  int vectors;
} NAME(wishes);

// The error that rounding s and m to multiples of d and dmin adds, by the curvatures; the integers in lanes.
CK_INLINE float NAME(rounding_cost)(
  const NAME(wishes) *t, float d, float dmin, float top, ck_v8 *scales, ck_v8 *minimums) {
  ck_v8 total = 0;
  for (int v = 0; v < t->vectors; v++) {
    ck_v8 wanted = NAME(clamp)(t->s[v] * (1 / d), 0, top), cheapest = (ck_v8)__builtin_inff();
    ck_v8 base = NAME(round)(wanted - 0.5f);
    for (int side = 0; side < 2; side++) {
      ck_v8 scale = NAME(clamp)(base + (float)side, 0, top);
      ck_v8 ds = scale * d - t->s[v];
      ck_v8 low = t->m[v] + ds * t->q1[v] / t->w1[v];
      ck_v8 minimum = dmin == 0 ? (ck_v8)0.0f : NAME(round)(NAME(clamp)(low * (1 / dmin), 0, top));
      ck_v8 dm = minimum * dmin - t->m[v];
      ck_v8 cost = ds * ds * t->qq[v] - 2 * ds * dm * t->q1[v] + dm * dm * t->w1[v];
      scales[v] = cost < cheapest ? scale : scales[v];
      minimums[v] = cost < cheapest ? minimum : minimums[v];
      cheapest = cost < cheapest ? cost : cheapest;
    }
    total += cheapest;
  }
  return NAME(sum)(total);
}

// One try at the whole super-block.
typedef struct {
  uint16_t d, dmin;
  uint8_t scales[16], minimums[16];
  float error;
} NAME(affine_try);

// Moves each group's integers to the best of their neighbours by the true error, codes rounded anew.
static void NAME(affine_polish)(const ck_block *b, int group, float high, int top, NAME(affine_try) *t) {
  float d = NAME(stored)(t->d, b), dmin = NAME(stored)(t->dmin, b);
  t->error = 0;
  for (int g = 0; g < 256 / group; g++) {
    const float *x = b->x + g * group, *w = b->w + g * group;
    int scale = t->scales[g], minimum = t->minimums[g];
    float least = NAME(affine_error)(x, w, group, d * (float)scale, -dmin * (float)minimum, high);
    for (int k = 0; k < 9; k++) {
      int s = scale + k / 3 - 1, m = minimum + k % 3 - 1;
      if (k == 4 || s < 0 || s > top || m < 0 || m > top) continue;
      float error = NAME(affine_error)(x, w, group, d * (float)s, -dmin * (float)m, high);
      if (error < least) least = error, t->scales[g] = (uint8_t)s, t->minimums[g] = (uint8_t)m;
    }
    t->error += least;
  }
}

// The shared scales that suit codes and integers best.
static void NAME(affine_refit)(const ck_block *b, int group, float high, NAME(affine_try) *t) {
  float d = NAME(stored)(t->d, b), dmin = NAME(stored)(t->dmin, b);
  float ss = 0, sm = 0, mm = 0, es = 0, em = 0;
  for (int g = 0; g < 256 / group; g++) {
    float scale = (float)t->scales[g], minimum = (float)t->minimums[g];
    ck_affine_sums a = NAME(affine_sums)(
      b->x + g * group, b->w + g * group, group, d * scale, -dmin * minimum, high);
    ss += scale * scale * a.qq;
    sm += scale * minimum * a.q1;
    mm += minimum * minimum * a.w1;
    es += scale * a.eq;
    em += minimum * a.e1;
  }
  float determinant = ss * mm - sm * sm, ds = 0, dm = 0;
  if (determinant > 1e-6f * ss * mm) {
    ds = (es * mm - em * sm) / determinant;
    dm = (es * sm - em * ss) / determinant;
  } else if (ss > 0) {
    ds = es / ss;
  }
  if (d + ds > 0) t->d = NAME(store)(d + ds, b);
  if (dmin + dm >= 0) t->dmin = NAME(store)(dmin + dm, b);
}

// Super-scales by the curvatures: the `count` cheapest of a table of clippings of both, best first.
static int NAME(affine_starts)(
  const ck_block *b, const NAME(wishes) *wishes, float peak_s, float peak_m, int top, int count,
  NAME(affine_try) *starts) {
  int found = 0;
  for (int k = 0; k < 256; k++) {
    float s = peak_s / ((float)top * (1.03f - 0.016f * (float)(k / 16)));
    float m = peak_m / ((float)top * (1.03f - 0.016f * (float)(k % 16)));
    NAME(affine_try) try = {.d = NAME(store)(s, b), .dmin = NAME(store)(m, b)};
    if (try.d == 0 || (peak_m == 0 && k % 16 != 0)) continue;
    ck_v8 scales[2] = {0, 0}, minimums[2] = {0, 0};
    try.error = NAME(rounding_cost)(
      wishes, NAME(stored)(try.d, b), NAME(stored)(try.dmin, b), (float)top, scales, minimums);
    int place = found < count ? found++ : count - 1;
    if (place == count - 1 && found == count && !(try.error < starts[place].error) && k >= count) continue;
    for (int g = 0; g < 8 * wishes->vectors; g++) {
      try.scales[g] = (uint8_t)(int)((float *)scales)[g];
      try.minimums[g] = (uint8_t)(int)((float *)minimums)[g];
    }
    for (; place > 0 && try.error < starts[place - 1].error; place--) starts[place] = starts[place - 1];
    starts[place] = try;
  }
  return found;
}

static void NAME(fit_affine_groups)(
  const float *x, const float *importance, int group, int high, int top, uint8_t *codes, uint8_t *scales,
  uint8_t *minimums, uint16_t *d, uint16_t *dmin) {
  ck_block b;
  int groups = 256 / group;
  NAME(affine_try) best = {.error = __builtin_inff()}, starts[3];
  __builtin_memset(codes, 0, 256);
  int filled = NAME(prepare)(x, importance, 256, group, &b);
  if (filled) {
    NAME(wishes) wishes = {.vectors = groups / 8};
    float peak_s = 0, peak_m = 0;
    for (int g = 0; g < groups; g++) {
      const float *v = b.x + g * group, *w = b.w + g * group;
      ck_affine_fit fit = NAME(search_affine)(v, w, group, (float)high, 1);
      ck_affine_sums a = NAME(affine_sums)(v, w, group, fit.s, fit.m, (float)high);
      ((float *)wishes.s)[g] = fit.s;
      ((float *)wishes.m)[g] = -fit.m;
      ((float *)wishes.qq)[g] = a.qq;
      ((float *)wishes.q1)[g] = a.q1;
      ((float *)wishes.w1)[g] = a.w1 > 0x1p-100f ? a.w1 : 0x1p-100f;
      peak_s = fit.s > peak_s ? fit.s : peak_s;
      peak_m = -fit.m > peak_m ? -fit.m : peak_m;
    }
    int count = NAME(affine_starts)(&b, &wishes, peak_s, peak_m, top, 3, starts);
    for (int k = 0; k < count; k++) {
      NAME(affine_polish)(&b, group, (float)high, top, &starts[k]);
      if (starts[k].error < best.error) best = starts[k];
    }
    for (int k = 0; k < 4 && count > 0; k++) {
      NAME(affine_try) next = best;
      NAME(affine_refit)(&b, group, (float)high, &next);
      NAME(affine_polish)(&b, group, (float)high, top, &next);
      if (!(next.error < best.error)) break;
      best = next;
    }
  }
  *d = best.d, *dmin = best.dmin;
  __builtin_memcpy(scales, best.scales, (size_t)groups);
  __builtin_memcpy(minimums, best.minimums, (size_t)groups);
  for (int g = 0; g < groups && filled; g++)
    NAME(affine_codes)(
      b.x + g * group, group, NAME(stored)(best.d, &b) * (float)best.scales[g],
      -NAME(stored)(best.dmin, &b) * (float)best.minimums[g], (float)high, codes + g * group);
}
