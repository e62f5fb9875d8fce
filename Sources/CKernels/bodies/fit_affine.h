// Fits of y = s·q + m, 0 ≤ q ≤ high: a scale and a minimum a block, or 256 weights whose groups share two
// half-precision scales. Included once for each instruction set by encode.c. No include guard.

static void NAME(affine_sums)(
  const float *x, const float *w, int n, const ck_affine_fit *fit, float high, ck_affine_sums *sums) {
  ck_affine_sums a = {0, 0, 0, 0, 0, 0};
  ck_v8 s = fit->s, m = fit->m, inverse = s == 0 ? 0 : 1 / s;
  for (int i = 0; i < n; i++) {
    ck_v8 v = x[i] - m, weight = NAME(all)(w[i]);
    ck_v8 q = NAME(round)(NAME(clamp)(v * inverse, 0, high));
    ck_v8 e = v - s * q;
    ck_v8 we = weight * e, wq = weight * q;
    a.ee += we * e;
    a.eq += we * q;
    a.e1 += we;
    a.qq += wq * q;
    a.q1 += wq;
    a.w1 += w[i];
  }
  *sums = a;
}

static void NAME(affine_errors)(const float *x, const float *w, int n, float high, ck_affine_fit *fit) {
  ck_v8 ee = 0, s = fit->s, m = fit->m, inverse = s == 0 ? 0 : 1 / s;
  for (int i = 0; i < n; i++) {
    ck_v8 v = x[i] - m;
    ck_v8 e = v - s * NAME(round)(NAME(clamp)(v * inverse, 0, high));
    ee += NAME(all)(w[i]) * e * e;
  }
  fit->error = ee;
}

// The best s and m for the codes that the sums were taken with. With `below`, m stays ≤ 0.
CK_INLINE ck_affine_fit NAME(affine_solve)(const ck_affine_sums *a, const ck_affine_fit *at, int below) {
  ck_v8 determinant = a->qq * a->w1 - a->q1 * a->q1;
  ck_i8 solvable = determinant > 1e-6f * a->qq * a->w1;
  ck_v8 ds = solvable ? (a->eq * a->w1 - a->e1 * a->q1) / determinant : 0;
  ck_v8 dm = solvable ? (a->e1 * a->qq - a->eq * a->q1) / determinant : 0;
  if (below) {
    ck_i8 above = at->m + dm > 0;
    dm = above ? -at->m : dm;
    ds = above ? (a->qq > 0 ? (a->eq - dm * a->q1) / a->qq : 0) : ds;
  }
  ck_v8 error = a->ee - 2 * ds * a->eq - 2 * dm * a->e1 + ds * ds * a->qq + 2 * ds * dm * a->q1
    + dm * dm * a->w1;
  return (ck_affine_fit){at->s + ds, at->m + dm, error};
}

CK_INLINE void NAME(keep_better_fit)(const ck_affine_fit *fit, ck_affine_fit *best) {
  ck_i8 better = (fit->s > 0) & (fit->error < best->error);
  best->s = better ? fit->s : best->s;
  best->m = better ? fit->m : best->m;
  best->error = better ? fit->error : best->error;
}

// The scale and minimum with the least error: both ends of the range drawn in, each with the best s and m for
// its codes; then codes and s, m in turn, for the best of each lane. The scale is never negative.
static void NAME(search_affine)(
  const float *x, const float *w, int n, float high, int below, int wide, float *scale, float *minimum) {
  float least = x[0], most = x[0];
  for (int i = 1; i < n; i++) {
    least = x[i] < least ? x[i] : least;
    most = x[i] > most ? x[i] : most;
  }
  if (below && least > 0) least = 0;
  if (below && most < 0) most = 0;
  *scale = 0, *minimum = least;
  if (!(most - least > 0x1p-60f)) return;
  // How far the ends move in, in units of the plain step. Fewer codes: finer moves.
  float reach = high > 15 ? 0.28f : high > 3 ? 0.18f : 0.09f, step = (most - least) / high;
  const ck_v8 places = {-1, 0, 1, 2, 3, 4, 5, 6};
  ck_affine_fit best = {NAME(all)(step), NAME(all)(least), NAME(all)(__builtin_inff())}, at, fit;
  ck_affine_sums sums;
  for (int k = -1; k < 6 + 7 * wide; k++) {
    if (k == 6) reach *= 3;
    at.m = least + step * reach * places;
    if (below) at.m = NAME(least)(at.m, NAME(all)(0));
    at.s = NAME(most)((most - step * reach * (float)(k < 6 ? k : k - 7) - at.m) / high, NAME(all)(0.25f * step));
    NAME(affine_sums)(x, w, n, &at, high, &sums);
    fit = NAME(affine_solve)(&sums, &at, below);
    NAME(keep_better_fit)(&fit, &best);
  }
  for (int k = 0; k < 3; k++) {
    NAME(affine_sums)(x, w, n, &best, high, &sums);
    fit = NAME(affine_solve)(&sums, &best, below);
    NAME(keep_better_fit)(&fit, &best);
  }
  int lane = NAME(least_lane)(best.error);
  *scale = best.s[lane], *minimum = best.m[lane];
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
  if (!NAME(prepare)(x, importance, 32, 32, 1.5f, &b)) return;
  float s, low, least = __builtin_inff();
  NAME(search_affine)(b.x, b.w, 32, (float)high, 0, b.wide, &s, &low);
  uint16_t scale = NAME(store)(s, &b), minimum = NAME(store)(low, &b);
  for (int step = -1; step <= 1; step++) {
    uint16_t offset = NAME(neighbour)(minimum, step);
    ck_affine_fit fit = {.m = NAME(all)(NAME(stored)(offset, &b))};
    for (int k = 0; k < 8; k++) fit.s[k] = NAME(stored)(NAME(neighbour)(scale, k - 4), &b);
    NAME(affine_errors)(b.x, b.w, 32, (float)high, &fit);
    int lane = NAME(least_lane)(fit.error);
    if (!(fit.error[lane] < least)) continue;
    least = fit.error[lane], *d = NAME(neighbour)(scale, lane - 4), *m = offset;
  }
  NAME(affine_codes)(b.x, 32, NAME(stored)(*d, &b), NAME(stored)(*m, &b), (float)high, codes);
}

// What the groups of a super-block want, one lane a group: y = s·q − m and the error's curvature there.
typedef struct {
  ck_v8 s[2], m[2], qq[2], q1[2], w1[2];
  int vectors;
} NAME(wishes);

// One try at a super-block.
typedef struct {
  uint16_t d, dmin;
  uint8_t scales[16], minimums[16];
  float error;
} NAME(affine_try);

// Gives every group the integers that cost least by the curvatures: the two scales around its wish, each with
// the minimum that goes with it.
CK_INLINE void NAME(cheapest_integers)(
  const NAME(wishes) *wish, float d, float dmin, float top, ck_v8 *scales, ck_v8 *minimums, float *cost) {
  ck_v8 total = 0;
  for (int v = 0; v < wish->vectors; v++) {
    ck_v8 base = NAME(round)(NAME(clamp)(wish->s[v] * (1 / d), 0, top) - 0.5f);
    ck_v8 cheapest = NAME(all)(__builtin_inff());
    for (int side = 0; side < 2; side++) {
      ck_v8 scale = NAME(clamp)(base + (float)side, 0, top);
      ck_v8 ds = scale * d - wish->s[v];
      ck_v8 low = wish->m[v] + ds * wish->q1[v] / wish->w1[v];
      ck_v8 minimum = dmin == 0 ? 0 : NAME(round)(NAME(clamp)(low * (1 / dmin), 0, top));
      ck_v8 dm = minimum * dmin - wish->m[v];
      ck_v8 price = ds * ds * wish->qq[v] - 2 * ds * dm * wish->q1[v] + dm * dm * wish->w1[v];
      ck_i8 better = price < cheapest;
      scales[v] = better ? scale : scales[v];
      minimums[v] = better ? minimum : minimums[v];
      cheapest = better ? price : cheapest;
    }
    total += cheapest;
  }
  *cost = NAME(sum)(total);
}

// Moves each group's integers to the best of their neighbours by the true error, codes rounded anew.
static void NAME(affine_polish)(const ck_block *b, int group, float high, int top, NAME(affine_try) *t) {
  const ck_v8 sides[2] = {{0, 0, 0, 1, -1, 1, 1, -1}, {-1, 0, 0, 1, -1, 2, -2, -1}};
  const ck_v8 lows[2] = {{0, 1, -1, 0, 0, 1, -1, -1}, {1, 2, -2, 2, -2, 1, -1, 2}};
  float d = NAME(stored)(t->d, b), dmin = NAME(stored)(t->dmin, b);
  t->error = 0;
  for (int g = 0; g < 256 / group; g++) {
    const float *x = b->x + g * group, *w = b->w + g * group;
    ck_v8 scale = NAME(all)(t->scales[g]), minimum = NAME(all)(t->minimums[g]);
    float least = __builtin_inff();
    for (int batch = 0; batch < 2; batch++) {
      ck_v8 s = NAME(clamp)(scale + sides[batch], 0, (float)top);
      ck_v8 m = NAME(clamp)(minimum + lows[batch], 0, (float)top);
      ck_affine_fit fit = {.s = d * s, .m = -dmin * m};
      NAME(affine_errors)(x, w, group, high, &fit);
      int lane = NAME(least_lane)(fit.error);
      if (!(fit.error[lane] < least)) continue;
      least = fit.error[lane];
      t->scales[g] = (uint8_t)(int)s[lane], t->minimums[g] = (uint8_t)(int)m[lane];
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
    ck_affine_fit fit = {.s = NAME(all)(d * scale), .m = NAME(all)(-dmin * minimum)};
    ck_affine_sums a;
    NAME(affine_sums)(b->x + g * group, b->w + g * group, group, &fit, high, &a);
    ss += scale * scale * a.qq[0];
    sm += scale * minimum * a.q1[0];
    mm += minimum * minimum * a.w1;
    es += scale * a.eq[0];
    em += minimum * a.e1[0];
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

// Shared scales to start from: of a table of clippings of both peaks, the cheapest by the curvatures, best
// first. The integers come with them. Returns how many there are.
static int NAME(affine_starts)(
  const ck_block *b, const NAME(wishes) *wish, float peak_s, float peak_m, int top,
  NAME(affine_try) starts[CK_STARTS]) {
  int found = 0, rows = peak_s > 0 ? 12 : 0, columns = peak_m > 0 ? 12 : 1;
  for (int k = 0; k < rows * columns; k++) {
    float s = peak_s / ((float)top * (1.03f - 0.02f * (float)(k / columns)));
    float m = peak_m / ((float)top * (1.03f - 0.02f * (float)(k % columns)));
    NAME(affine_try) try = {.d = NAME(store)(s, b), .dmin = NAME(store)(m, b)};
    if (try.d == 0) continue;
    ck_v8 scales[2] = {0, 0}, minimums[2] = {0, 0};
    NAME(cheapest_integers)(
      wish, NAME(stored)(try.d, b), NAME(stored)(try.dmin, b), (float)top, scales, minimums, &try.error);
    if (found == CK_STARTS && !(try.error < starts[CK_STARTS - 1].error)) continue;
    for (int g = 0; g < 8 * wish->vectors; g++) {
      try.scales[g] = (uint8_t)(int)scales[g / 8][g % 8];
      try.minimums[g] = (uint8_t)(int)minimums[g / 8][g % 8];
    }
    int place = found < CK_STARTS ? found++ : CK_STARTS - 1;
    for (; place > 0 && try.error < starts[place - 1].error; place--) starts[place] = starts[place - 1];
    starts[place] = try;
  }
  return found;
}

// Searches every group by itself; the peaks of their scales and minimums.
static void NAME(affine_wishes)(
  const ck_block *b, int group, float high, NAME(wishes) *wish, float *peak_s, float *peak_m) {
  *peak_s = *peak_m = 0;
  for (int g = 0; g < 256 / group; g++) {
    const float *x = b->x + g * group, *w = b->w + g * group;
    float s, m;
    NAME(search_affine)(x, w, group, high, 1, b->wide, &s, &m);
    ck_affine_fit fit = {.s = NAME(all)(s), .m = NAME(all)(m)};
    ck_affine_sums a;
    NAME(affine_sums)(x, w, group, &fit, high, &a);
    wish->s[g / 8][g % 8] = s;
    wish->m[g / 8][g % 8] = -m;
    wish->qq[g / 8][g % 8] = a.qq[0];
    wish->q1[g / 8][g % 8] = a.q1[0];
    wish->w1[g / 8][g % 8] = a.w1 > 0x1p-100f ? a.w1 : 0x1p-100f;
    *peak_s = s > *peak_s ? s : *peak_s;
    *peak_m = -m > *peak_m ? -m : *peak_m;
  }
}

static void NAME(fit_affine_groups)(
  const float *x, const float *importance, int group, int high, int top, uint8_t *codes, uint8_t *scales,
  uint8_t *minimums, uint16_t *d, uint16_t *dmin) {
  ck_block b;
  int groups = 256 / group;
  NAME(affine_try) best = {.error = __builtin_inff()}, starts[CK_STARTS];
  if (NAME(prepare)(x, importance, 256, group, 0, &b)) {
    NAME(wishes) wish = {.vectors = groups / 8};
    float peak_s, peak_m;
    NAME(affine_wishes)(&b, group, (float)high, &wish, &peak_s, &peak_m);
    int count = NAME(affine_starts)(&b, &wish, peak_s, peak_m, top, starts);
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
  } else {
    for (int i = 0; i < 256; i++) b.x[i] = 0;
    b.unit = 1;
  }
  *d = best.d, *dmin = best.dmin;
  for (int g = 0; g < groups; g++) {
    float s = NAME(stored)(best.d, &b) * (float)best.scales[g];
    float m = -NAME(stored)(best.dmin, &b) * (float)best.minimums[g];
    scales[g] = best.scales[g], minimums[g] = best.minimums[g];
    NAME(affine_codes)(b.x + g * group, group, s, m, (float)high, codes + g * group);
  }
}
