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

// The errors of eight fits; what they are is known only below `limit`: rounding goes on while any lane is below it.
static void NAME(affine_errors)(
  const float *x, const float *w, int n, float high, float limit, ck_affine_fit *fit) {
  ck_v8 ee = 0, s = fit->s, m = fit->m, inverse = s == 0 ? 0 : 1 / s;
  for (int first = 0; first < n; first += 8) {
    for (int i = first; i < first + 8; i++) {
      ck_v8 v = x[i] - m;
      ck_v8 e = v - s * NAME(round)(NAME(clamp)(v * inverse, 0, high));
      ee += NAME(all)(w[i]) * e * e;
    }
    if (!(NAME(least_of)(ee) < limit)) break;
  }
  fit->error = ee;
}

#if CK_PAIRS
// The same sums for sixteen candidates: eight of the group at x0, eight of that at x1, which may be the same.
CK_INLINE void NAME(affine_sums_of_two)(
  const float *x0, const float *w0, const float *x1, const float *w1, const int same, int n,
  const ck_affine_fit *fit0, const ck_affine_fit *fit1, float high, ck_affine_sums *sums0, ck_affine_sums *sums1) {
  const ck_v16 magic = (ck_v16)12582912.0f, zero = 0, top = (ck_v16)high;
  ck_v16 s = NAME(join)(fit0->s, fit1->s), m = NAME(join)(fit0->m, fit1->m), inverse = s == 0 ? 0 : 1 / s;
  ck_v16 ee = 0, eq = 0, e1 = 0, qq = 0, q1 = 0;
  float total0 = 0, total1 = 0;
  for (int i = 0; i < n; i++) {
    ck_v16 weight = same ? (ck_v16)w0[i] : NAME(join)(NAME(all)(w0[i]), NAME(all)(w1[i]));
    ck_v16 v = (same ? (ck_v16)x0[i] : NAME(join)(NAME(all)(x0[i]), NAME(all)(x1[i]))) - m;
    ck_v16 t = v * inverse;
    t = t > zero ? t : zero;
    t = t < top ? t : top;
    ck_v16 q = (t + magic) - magic;
    ck_v16 e = v - s * q;
    ck_v16 we = weight * e, wq = weight * q;
    ee += we * e;
    eq += we * q;
    e1 += we;
    qq += wq * q;
    q1 += wq;
    total0 += w0[i];
    total1 += w1[i];
  }
  *sums0 = (ck_affine_sums){ee.lo, eq.lo, e1.lo, qq.lo, q1.lo, total0};
  *sums1 = (ck_affine_sums){ee.hi, eq.hi, e1.hi, qq.hi, q1.hi, total1};
}

static void NAME(affine_sums_two)(
  const float *x0, const float *w0, const float *x1, const float *w1, int n, const ck_affine_fit *fit0,
  const ck_affine_fit *fit1, float high, ck_affine_sums *sums0, ck_affine_sums *sums1) {
  if (x0 == x1) NAME(affine_sums_of_two)(x0, w0, x0, w0, 1, n, fit0, fit1, high, sums0, sums1);
  else NAME(affine_sums_of_two)(x0, w0, x1, w1, 0, n, fit0, fit1, high, sums0, sums1);
}
#else
CK_INLINE void NAME(affine_sums_two)(
  const float *x0, const float *w0, const float *x1, const float *w1, int n, const ck_affine_fit *fit0,
  const ck_affine_fit *fit1, float high, ck_affine_sums *sums0, ck_affine_sums *sums1) {
  NAME(affine_sums)(x0, w0, n, fit0, high, sums0);
  NAME(affine_sums)(x1, w1, n, fit1, high, sums1);
}
#endif

// The sums of eight groups of n weights, one a lane, each with its own fit; `x` and `w` have a vector for each place.
static void NAME(affine_lane_sums)(
  const ck_v8 *x, const ck_v8 *w, int n, ck_v8 s, ck_v8 m, float high, ck_v8 *eq, ck_v8 *e1, ck_v8 *qq, ck_v8 *q1,
  ck_v8 *w1) {
  ck_v8 inverse = s == 0 ? 0 : 1 / s;
  *eq = *e1 = *qq = *q1 = *w1 = 0;
  for (int i = 0; i < n; i++) {
    ck_v8 v = x[i] - m;
    ck_v8 q = NAME(round)(NAME(clamp)(v * inverse, 0, high));
    ck_v8 e = v - s * q;
    ck_v8 we = w[i] * e, wq = w[i] * q;
    *eq += we * q;
    *e1 += we;
    *qq += wq * q;
    *q1 += wq;
    *w1 += w[i];
  }
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

// One group's search.
typedef struct {
  const float *x, *w;
  ck_affine_fit best;
  float least;
  int found;  // 0 where all weights are alike, so that the minimum says it all
} NAME(affine_search);

// The best of each lane: both ends of the range drawn in, each with the best s and m for its codes.
static void NAME(search_ends)(NAME(affine_search) *a, int n, float high, int below, int wide) {
  const float *x = a->x;
  float least = x[0], most = x[0];
  for (int i = 1; i < n; i++) {
    least = x[i] < least ? x[i] : least;
    most = x[i] > most ? x[i] : most;
  }
  if (below && least > 0) least = 0;
  if (below && most < 0) most = 0;
  a->least = least;
  a->found = most - least > 0x1p-60f;
  // How far the ends move in, in units of the plain step. Fewer codes: finer moves.
  float reach = high > 15 ? 0.28f : high > 3 ? 0.18f : 0.09f, step = (most - least) / high;
  const ck_v8 places = {-1, 0, 1, 2, 3, 4, 5, 6};
  a->best = (ck_affine_fit){NAME(all)(step), NAME(all)(least), NAME(all)(__builtin_inff())};
  if (!a->found) return;
  ck_affine_fit at[14], fit;
  int count = 7 + 7 * wide;
  for (int place = 0; place < count; place++) {
    int k = place - 1;
    if (k == 6) reach *= 3;
    at[place].m = least + step * reach * places;
    if (below) at[place].m = NAME(least)(at[place].m, NAME(all)(0));
    ck_v8 s = (most - step * reach * (float)(k < 6 ? k : k - 7) - at[place].m) / high;
    at[place].s = NAME(most)(s, NAME(all)(0.25f * step));
  }
  for (int place = 0; place < count; place += 2) {
    ck_affine_sums sums[2];
    if (place + 1 < count) NAME(affine_sums_two)(x, a->w, x, a->w, n, at + place, at + place + 1, high, sums, sums + 1);
    else NAME(affine_sums)(x, a->w, n, at + place, high, sums);
    for (int side = 0; side < 2 && place + side < count; side++) {
      fit = NAME(affine_solve)(sums + side, at + place + side, below);
      NAME(keep_better_fit)(&fit, &a->best);
    }
  }
}

// Codes and s, m in turn, for the best of each lane, of two groups at a time.
static void NAME(search_turns)(NAME(affine_search) *a, NAME(affine_search) *b, int n, float high, int below) {
  ck_affine_sums sums[2];
  for (int k = 0; k < 3; k++) {
    NAME(affine_sums_two)(a->x, a->w, b->x, b->w, n, &a->best, &b->best, high, sums, sums + 1);
    ck_affine_fit fit = NAME(affine_solve)(sums, &a->best, below);
    NAME(keep_better_fit)(&fit, &a->best);
    fit = NAME(affine_solve)(sums + 1, &b->best, below);
    NAME(keep_better_fit)(&fit, &b->best);
  }
}

// What was found. The scale is never negative.
CK_INLINE void NAME(search_result)(const NAME(affine_search) *a, float *scale, float *minimum) {
  *scale = 0, *minimum = a->least;
  if (!a->found) return;
  int lane = NAME(least_lane)(a->best.error);
  *scale = a->best.s[lane], *minimum = a->best.m[lane];
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
  NAME(affine_search) search = {.x = b.x, .w = b.w};
  NAME(search_ends)(&search, 32, (float)high, 0, b.wide);
  ck_affine_sums sums;
  for (int k = 0; k < 3 && search.found; k++) {
    NAME(affine_sums)(b.x, b.w, 32, &search.best, (float)high, &sums);
    ck_affine_fit fit = NAME(affine_solve)(&sums, &search.best, 0);
    NAME(keep_better_fit)(&fit, &search.best);
  }
  NAME(search_result)(&search, &s, &low);
  uint16_t scale = NAME(store)(s, &b), minimum = NAME(store)(low, &b);
  for (int step = -1; step <= 1; step++) {
    uint16_t offset = NAME(neighbour)(minimum, step);
    ck_affine_fit fit = {.m = NAME(all)(NAME(stored)(offset, &b))};
    for (int k = 0; k < 8; k++) fit.s[k] = NAME(stored)(NAME(neighbour)(scale, k - 4), &b);
    NAME(affine_errors)(b.x, b.w, 32, (float)high, least, &fit);
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

// What one shared scale d leaves to choose: for each vector of groups the two integers around the wish, and for each of them
// how far the scale is off, its price, and the minimum that goes with it.
typedef struct {
  ck_v8 scale[2][2], ds[2][2], price[2][2], low[2][2];
} NAME(scale_row);

static void NAME(row_of_scale)(const NAME(wishes) *wish, float d, float top, NAME(scale_row) *row) {
  for (int v = 0; v < wish->vectors; v++) {
    ck_v8 base = NAME(round)(NAME(clamp)(wish->s[v] * (1 / d), 0, top) - 0.5f);
    for (int side = 0; side < 2; side++) {
      ck_v8 scale = NAME(clamp)(base + (float)side, 0, top);
      ck_v8 ds = scale * d - wish->s[v];
      row->scale[v][side] = scale;
      row->ds[v][side] = ds;
      row->price[v][side] = ds * ds * wish->qq[v];
      row->low[v][side] = wish->m[v] + ds * wish->q1[v] / wish->w1[v];
    }
  }
}

// Gives every group the integers that cost least by the curvatures, each scale with the minimum that goes with it. Returns the
// cost of all groups.
CK_INLINE float NAME(cheapest_integers)(
  const NAME(wishes) *wish, const NAME(scale_row) *row, float dmin, float inverse, float top, ck_v8 *scales,
  ck_v8 *minimums) {
  ck_v8 total = 0;
  for (int v = 0; v < wish->vectors; v++) {
    ck_v8 cheapest = NAME(all)(__builtin_inff());
    for (int side = 0; side < 2; side++) {
      ck_v8 ds = row->ds[v][side];
      ck_v8 minimum = dmin == 0 ? 0 : NAME(round)(NAME(clamp)(row->low[v][side] * inverse, 0, top));
      ck_v8 dm = minimum * dmin - wish->m[v];
      ck_v8 price = row->price[v][side] - 2 * ds * dm * wish->q1[v] + dm * dm * wish->w1[v];
      ck_i8 better = price < cheapest;
      scales[v] = better ? row->scale[v][side] : scales[v];
      minimums[v] = better ? minimum : minimums[v];
      cheapest = better ? price : cheapest;
    }
    total += cheapest;
  }
  return NAME(sum)(total);
}

#if CK_PAIRS
// The errors of sixteen fits of a group; known only below `limit`.
static void NAME(affine_errors_two)(
  const float *x, const float *w, int n, float high, float limit, ck_affine_fit fit[2]) {
  const ck_v16 magic = (ck_v16)12582912.0f, zero = 0, top = (ck_v16)high;
  ck_v16 s = NAME(join)(fit[0].s, fit[1].s), m = NAME(join)(fit[0].m, fit[1].m), inverse = s == 0 ? 0 : 1 / s;
  ck_v16 ee = 0;
  for (int first = 0; first < n; first += 8) {
    for (int i = first; i < first + 8; i++) {
      ck_v16 v = x[i] - m;
      ck_v16 t = v * inverse;
      t = t > zero ? t : zero;
      t = t < top ? t : top;
      ck_v16 e = v - s * ((t + magic) - magic);
      ee += (ck_v16)w[i] * e * e;
    }
    if (!(NAME(least_of)(NAME(least)(ee.lo, ee.hi)) < limit)) break;
  }
  fit[0].error = ee.lo, fit[1].error = ee.hi;
}
#endif

// Moves each group's integers to the best of their neighbours by the true error, codes rounded anew. Gives up, with an error of
// infinity, as soon as the error cannot be below `limit`: errors of further groups only add.
static void NAME(affine_polish)(
  const ck_block *b, int group, float high, int top, float limit, NAME(affine_try) *t) {
  const ck_v8 sides[2] = {{0, 0, 0, 1, -1, 1, 1, -1}, {-1, 0, 0, 1, -1, 2, -2, -1}};
  const ck_v8 lows[2] = {{0, 1, -1, 0, 0, 1, -1, -1}, {1, 2, -2, 2, -2, 1, -1, 2}};
  float d = NAME(stored)(t->d, b), dmin = NAME(stored)(t->dmin, b);
  t->error = 0;
  for (int g = 0; g < 256 / group; g++) {
    const float *x = b->x + g * group, *w = b->w + g * group;
    ck_v8 scale = NAME(all)(t->scales[g]), minimum = NAME(all)(t->minimums[g]);
    float least = __builtin_inff();
    ck_v8 s[2], m[2];
    ck_affine_fit fit[2];
    for (int batch = 0; batch < 2; batch++) {
      s[batch] = NAME(clamp)(scale + sides[batch], 0, (float)top);
      m[batch] = NAME(clamp)(minimum + lows[batch], 0, (float)top);
      fit[batch] = (ck_affine_fit){.s = d * s[batch], .m = -dmin * m[batch]};
    }
#if CK_PAIRS
    NAME(affine_errors_two)(x, w, group, high, least, fit);
#endif
    for (int batch = 0; batch < 2; batch++) {
#if !CK_PAIRS
      NAME(affine_errors)(x, w, group, high, least, &fit[batch]);
#endif
      int lane = NAME(least_lane)(fit[batch].error);
      if (!(fit[batch].error[lane] < least)) continue;
      least = fit[batch].error[lane];
      t->scales[g] = (uint8_t)(int)s[batch][lane], t->minimums[g] = (uint8_t)(int)m[batch][lane];
    }
    t->error += least;
    if (!(t->error < limit)) {
      t->error = __builtin_inff();
      return;
    }
  }
}

// The shared scales that suit codes and integers best. `x` and `w` have the groups as lanes.
static void NAME(affine_refit)(
  const ck_block *b, const ck_v8 *x, const ck_v8 *w, int group, float high, NAME(affine_try) *t) {
  float d = NAME(stored)(t->d, b), dmin = NAME(stored)(t->dmin, b);
  float ss = 0, sm = 0, mm = 0, es = 0, em = 0;
  for (int v = 0; v < 32 / group; v++) {
    ck_v8 s, m, eq, e1, qq, q1, w1;
    for (int g = 0; g < 8; g++) {
      s[g] = d * (float)t->scales[8 * v + g];
      m[g] = -dmin * (float)t->minimums[8 * v + g];
    }
    NAME(affine_lane_sums)(x + v * group, w + v * group, group, s, m, high, &eq, &e1, &qq, &q1, &w1);
    for (int g = 0; g < 8; g++) {
      float scale = (float)t->scales[8 * v + g], minimum = (float)t->minimums[8 * v + g];
      ss += scale * scale * qq[g];
      sm += scale * minimum * q1[g];
      mm += minimum * minimum * w1[g];
      es += scale * eq[g];
      em += minimum * e1[g];
    }
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
  uint16_t offsets[12];
  float dmin[12], inverse[12];
  for (int k = 0; k < columns; k++) {
    offsets[k] = NAME(store)(peak_m / ((float)top * (1.03f - 0.02f * (float)k)), b);
    dmin[k] = NAME(stored)(offsets[k], b);
    inverse[k] = dmin[k] == 0 ? 0 : 1 / dmin[k];
  }
  for (int k = 0; k < rows; k++) {
    NAME(affine_try) try = {.d = NAME(store)(peak_s / ((float)top * (1.03f - 0.02f * (float)k)), b)};
    if (try.d == 0) continue;
    NAME(scale_row) row;
    NAME(row_of_scale)(wish, NAME(stored)(try.d, b), (float)top, &row);
    for (int column = 0; column < columns; column++) {
      ck_v8 scales[2] = {0, 0}, minimums[2] = {0, 0};
      try.dmin = offsets[column];
      try.error =
        NAME(cheapest_integers)(wish, &row, dmin[column], inverse[column], (float)top, scales, minimums);
      if (found == CK_STARTS && !(try.error < starts[CK_STARTS - 1].error)) continue;
      for (int g = 0; g < 8 * wish->vectors; g++) {
        try.scales[g] = (uint8_t)(int)scales[g / 8][g % 8];
        try.minimums[g] = (uint8_t)(int)minimums[g / 8][g % 8];
      }
      int place = found < CK_STARTS ? found++ : CK_STARTS - 1;
      for (; place > 0 && try.error < starts[place - 1].error; place--) starts[place] = starts[place - 1];
      starts[place] = try;
    }
  }
  return found;
}

// Searches every group by itself; the peaks of their scales and minimums. `x` and `w` have the groups as lanes.
static void NAME(affine_wishes)(
  const ck_block *b, const ck_v8 *x, const ck_v8 *w, int group, float high, NAME(wishes) *wish, float *peak_s,
  float *peak_m) {
  *peak_s = *peak_m = 0;
  for (int g = 0; g < 256 / group; g += 2) {
    NAME(affine_search) search[2];
    for (int side = 0; side < 2; side++) {
      int place = (g + side) * group;
      search[side].x = b->x + place, search[side].w = b->w + place;
      NAME(search_ends)(&search[side], group, high, 1, b->wide);
    }
    if (search[0].found || search[1].found) NAME(search_turns)(&search[0], &search[1], group, high, 1);
    for (int side = 0; side < 2; side++) {
      float s, m;
      NAME(search_result)(&search[side], &s, &m);
      wish->s[g / 8][g % 8 + side] = s;
      wish->m[g / 8][g % 8 + side] = -m;
      *peak_s = s > *peak_s ? s : *peak_s;
      *peak_m = -m > *peak_m ? -m : *peak_m;
    }
  }
  for (int v = 0; v < wish->vectors; v++) {
    ck_v8 eq, e1, w1;
    NAME(affine_lane_sums)(
      x + v * group, w + v * group, group, wish->s[v], -wish->m[v], high, &eq, &e1, &wish->qq[v], &wish->q1[v], &w1);
    wish->w1[v] = NAME(most)(w1, NAME(all)(0x1p-100f));
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
    ck_v8 x_lanes[32], w_lanes[32];
    for (int g = 0; g < groups; g++) {
      for (int i = 0; i < group; i++) {
        x_lanes[g / 8 * group + i][g % 8] = b.x[g * group + i];
        w_lanes[g / 8 * group + i][g % 8] = b.w[g * group + i];
      }
    }
    NAME(affine_wishes)(&b, x_lanes, w_lanes, group, (float)high, &wish, &peak_s, &peak_m);
    int count = NAME(affine_starts)(&b, &wish, peak_s, peak_m, top, starts);
    for (int k = 0; k < count; k++) {
      NAME(affine_polish)(&b, group, (float)high, top, best.error, &starts[k]);
      if (starts[k].error < best.error) best = starts[k];
    }
    for (int k = 0; k < 4 && count > 0; k++) {
      NAME(affine_try) next = best;
      NAME(affine_refit)(&b, x_lanes, w_lanes, group, (float)high, &next);
      NAME(affine_polish)(&b, group, (float)high, top, best.error, &next);
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
