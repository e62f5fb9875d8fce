// Rounding to y = s·q + m, 0 ≤ q ≤ high: 256 weights whose 8 groups of 32 share two half-precision scales. A tile holds two such
// super-blocks, one in the lanes below 8. Included once for each instruction set by round.c. No include guard.

// Sums over each lane for one set of codes.
typedef struct {
  ck_v16 qx, qq, q1;
} NAME(affine_sums);

// A fit of each lane, with the curvatures of its error. `gain` is what it takes off Σ w·x².
typedef struct {
  ck_v16 s, m, gain, qq, q1;
} NAME(affine_fit);

CK_INLINE NAME(affine_sums) NAME(sum_affine)(const ck_tile *t, ck_v16 inverse, ck_v16 offset, float high) {
  NAME(lanes) qx[NAME(parts)], qq[NAME(parts)], q1[NAME(parts)], bottom = 0, top = high;
  for (int part = 0; part < NAME(parts); part++) {
    NAME(lanes) by = PART(inverse, part), from = PART(offset, part), x_sum = 0, q_sum = 0, sum = 0;
    for (int i = 0; i < 32; i++) {
      NAME(lanes) v = NAME(take)(&t->x[i], part);
      NAME(lanes) q = NAME(code)(v * by + from, bottom, top);
      NAME(lanes) wq = NAME(take)(&t->w[i], part) * q;
      x_sum += wq * v;
      q_sum += wq * q;
      sum += wq;
    }
    qx[part] = x_sum, qq[part] = q_sum, q1[part] = sum;
  }
  return (NAME(affine_sums)){JOIN(qx), JOIN(qq), JOIN(q1)};
}

// The errors of the lanes under two fits each; a scale of zero leaves the offset alone.
CK_INLINE void NAME(affine_errors)(
  const ck_tile *t, const ck_v16 s[2], const ck_v16 m[2], float high, ck_v16 errors[2]) {
  NAME(lanes) a[NAME(parts)], b[NAME(parts)], bottom = 0;
  // Any step does for a scale of zero whose codes are held at zero: the offset is what is left.
  ck_v16 by[2], from[2], unit[2], limit[2];
  for (int k = 0; k < 2; k++) {
    unit[k] = s[k] == 0 ? 1 : s[k];
    limit[k] = s[k] == 0 ? (ck_v16)0 : (ck_v16)high;
    by[k] = 1 / unit[k];
    from[k] = -m[k] * by[k];
  }
  for (int part = 0; part < NAME(parts); part++) {
    NAME(lanes) by_a = PART(by[0], part), by_b = PART(by[1], part), from_a = PART(from[0], part), from_b = PART(from[1], part);
    NAME(lanes) top_a = PART(limit[0], part), top_b = PART(limit[1], part), a_sum = 0, b_sum = 0;
    for (int i = 0; i < 32; i++) {
      NAME(lanes) v = NAME(take)(&t->x[i], part), w = NAME(take)(&t->w[i], part);
      NAME(lanes) p = v * by_a + from_a, q = v * by_b + from_b;
      p -= NAME(code)(p, bottom, top_a);
      q -= NAME(code)(q, bottom, top_b);
      a_sum += w * p * p;
      b_sum += w * q * q;
    }
    a[part] = a_sum, b[part] = b_sum;
  }
  errors[0] = unit[0] * unit[0] * JOIN(a);
  errors[1] = unit[1] * unit[1] * JOIN(b);
}

// Takes the best s and m for the sums' codes, m ≤ 0, where they are better.
CK_INLINE void NAME(keep_fit)(const NAME(affine_sums) *a, ck_v16 w1, ck_v16 x1, NAME(affine_fit) *best) {
  ck_v16 determinant = a->qq * w1 - a->q1 * a->q1;
  ck_n16 solvable = determinant > 1e-6f * a->qq * w1;
  ck_v16 s = (a->qx * w1 - x1 * a->q1) / determinant, m = (x1 * a->qq - a->qx * a->q1) / determinant;
  ck_n16 level = ~solvable | (m > 0);
  m = level ? 0 : m;
  s = level ? (a->qq > 0 ? a->qx / a->qq : 0) : s;
  ck_v16 gain = s * a->qx + m * x1;
  ck_n16 better = (s > 0) & (gain > best->gain);
  best->s = better ? s : best->s;
  best->m = better ? m : best->m;
  best->gain = better ? gain : best->gain;
  best->qq = better ? a->qq : best->qq;
  best->q1 = better ? a->q1 : best->q1;
}

// The best fit of every group by itself. `ends`: how far the ends of its range move in, in plain steps.
CK_INLINE NAME(affine_fit) NAME(search_affine)(
  const ck_tile *t, const float (*ends)[2], int count, int turns, float high, ck_v16 w1, ck_v16 x1) {
  ck_v16 least = NAME(least)(t->least, (ck_v16)0), most = NAME(most)(t->most, (ck_v16)0);
  ck_v16 step = (most - least) / high;
  NAME(affine_fit) best = {step, least, -__builtin_inff(), 0, 0};
  ck_n16 flat = !(step > 0x1p-64f);
  for (int k = 0; k < count + turns; k++) {
    ck_v16 m = k < count ? NAME(least)(least + step * ends[k][0], (ck_v16)0) : best.m;
    ck_v16 s = k < count ? (most - step * ends[k][1] - m) / high : best.s;
    s = flat ? 1 : NAME(most)(s, 0.25f * step);
    ck_v16 inverse = 1 / s;
    NAME(affine_sums) sums = NAME(sum_affine)(t, inverse, -m * inverse, high);
    NAME(keep_fit)(&sums, w1, x1, &best);
  }
  best.s = flat ? 0 : best.s;
  best.m = flat ? least : best.m;
  return best;
}

// One try at both super-blocks; d, dmin and the error are the same in eight lanes.
typedef struct {
  ck_n16 d, dmin;
  ck_v16 scales, minimums, error;
} NAME(affine_try);

CK_INLINE void NAME(keep_try)(const NAME(affine_try) *next, NAME(affine_try) *best) {
  ck_n16 better = next->error < best->error;
  best->d = better ? next->d : best->d;
  best->dmin = better ? next->dmin : best->dmin;
  best->scales = better ? next->scales : best->scales;
  best->minimums = better ? next->minimums : best->minimums;
  best->error = better ? next->error : best->error;
}

// Shared scales to start from: of a table of clippings of both peaks the cheapest by the curvatures, each group having the
// integers that cost least.
CK_INLINE NAME(affine_try) NAME(start_affine)(
  const ck_tile *t, const NAME(affine_fit) *wish, ck_v16 w1, const float *clippings, int count) {
  ck_v16 peak_s = NAME(most_of_eight)(wish->s), peak_m = NAME(most_of_eight)(-wish->m), low = -wish->m;
  ck_v16 mean = wish->q1 / w1;
  ck_n16 offsets[12];
  ck_v16 dmin[12], inverse[12];
  for (int column = 0; column < count; column++) {
    offsets[column] = NAME(store)(peak_m * (1 / (63 * clippings[column])), t);
    dmin[column] = NAME(stored)(offsets[column], t);
    inverse[column] = NAME(inverse)(dmin[column]);
  }
  NAME(affine_try) best = {0, 0, 0, 0, __builtin_inff()};
  for (int row = 0; row < count; row++) {
    NAME(affine_try) try;
    try.d = NAME(store)(peak_s * (1 / (63 * clippings[row])), t);
    ck_v16 d = NAME(stored)(try.d, t);
    ck_v16 base = NAME(round)(NAME(clamp)(wish->s * NAME(inverse)(d), 0, 63) - 0.5f), scale[2], ds[2], price[2], wanted[2];
    for (int side = 0; side < 2; side++) {
      scale[side] = NAME(clamp)(base + (float)side, 0, 63);
      ds[side] = scale[side] * d - wish->s;
      // The price with the best minimum for this scale; what is left is (dm − ds·q1 / w1)²·w1.
      price[side] = ds[side] * ds[side] * (wish->qq - wish->q1 * mean);
      wanted[side] = low + ds[side] * mean;
    }
    for (int column = 0; column < count; column++) {
      ck_v16 cost[2], minimum[2];
      try.dmin = offsets[column];
      for (int side = 0; side < 2; side++) {
        minimum[side] = NAME(round)(NAME(clamp)(wanted[side] * inverse[column], 0, 63));
        ck_v16 rest = minimum[side] * dmin[column] - wanted[side];
        cost[side] = price[side] + rest * rest * w1;
      }
      ck_n16 second = cost[1] < cost[0];
      try.scales = second ? scale[1] : scale[0];
      try.minimums = second ? minimum[1] : minimum[0];
      try.error = NAME(sum_eight)(second ? cost[1] : cost[0]);
      NAME(keep_try)(&try, &best);
    }
  }
  return best;
}

// Moves each group's integers to the best of their neighbours by the true error, codes rounded anew.
CK_INLINE void NAME(polish_affine)(const ck_tile *t, const float (*moves)[2], int count, float high, NAME(affine_try) *try) {
  ck_v16 d = NAME(stored)(try->d, t), dmin = NAME(stored)(try->dmin, t), least = __builtin_inff();
  ck_v16 scale = try->scales, minimum = try->minimums;
  for (int k = 0; k < count; k += 2) {
    ck_v16 scales[2], minimums[2], s[2], m[2], errors[2];
    for (int side = 0; side < 2; side++) {
      scales[side] = NAME(clamp)(scale + moves[k + side][0], 0, 63);
      minimums[side] = NAME(clamp)(minimum + moves[k + side][1], 0, 63);
      s[side] = d * scales[side], m[side] = -dmin * minimums[side];
    }
    NAME(affine_errors)(t, s, m, high, errors);
    for (int side = 0; side < 2; side++) {
      ck_n16 better = errors[side] < least;
      try->scales = better ? scales[side] : try->scales;
      try->minimums = better ? minimums[side] : try->minimums;
      least = better ? errors[side] : least;
    }
  }
  try->error = NAME(sum_eight)(least);
}

// The shared scales that suit codes and integers best.
CK_INLINE void NAME(refit_affine)(const ck_tile *t, ck_v16 w1, ck_v16 x1, float high, NAME(affine_try) *try) {
  ck_v16 s = NAME(stored)(try->d, t) * try->scales, m = -NAME(stored)(try->dmin, t) * try->minimums;
  ck_v16 inverse = NAME(inverse)(s);
  NAME(affine_sums) a = NAME(sum_affine)(t, inverse, -m * inverse, high);
  ck_v16 ss = NAME(sum_eight)(try->scales * try->scales * a.qq), sm = NAME(sum_eight)(try->scales * try->minimums * a.q1);
  ck_v16 mm = NAME(sum_eight)(try->minimums * try->minimums * w1);
  ck_v16 sx = NAME(sum_eight)(try->scales * a.qx), mx = NAME(sum_eight)(try->minimums * x1);
  // Σ w·(x − d·scale·q + dmin·minimum)² is least where ss·d − sm·dmin = sx and sm·d − mm·dmin = mx.
  ck_v16 determinant = ss * mm - sm * sm;
  ck_n16 solvable = determinant > 1e-6f * ss * mm;
  ck_v16 d = solvable ? (sx * mm - mx * sm) / determinant : 0;
  ck_v16 dmin = solvable ? (sx * sm - mx * ss) / determinant : 0;
  ck_n16 level = ~solvable & (mm == 0) & (ss > 0);
  d = level ? sx / ss : d;
  try->d = d > 0 ? NAME(store)(d, t) : try->d;
  ck_n16 rises = solvable & (dmin >= 0);
  try->dmin = rises ? NAME(store)(dmin, t) : try->dmin;
}

// Two super-blocks, y = d·scale·code − dmin·minimum.
CK_INLINE void NAME(round_affine_groups)(
  const float *x, const ck_affine_effort *effort, float high, ck_n16 *d, ck_n16 *dmin, ck_n16 *scales, ck_n16 *minimums,
  ck_tile_codes *codes) {
  ck_tile t;
  NAME(load_tile)(x, 32, &t);
  NAME(normalize)(32, NAME(most_of_eight)(NAME(most)(-t.least, t.most)), &t);
  NAME(weigh_by_magnitude)(32, &t);
  ck_v16 w1 = 0, x1 = 0;
  for (int i = 0; i < 32; i++) w1 += t.w[i], x1 += t.w[i] * t.x[i];
  ck_v16 heavy = NAME(most)(w1, (ck_v16)0x1p-100f);
  NAME(affine_fit) wish = NAME(search_affine)(&t, effort->ends, effort->end_count, effort->turns, high, w1, x1);
  NAME(affine_try) best = NAME(start_affine)(&t, &wish, heavy, effort->clippings, effort->clipping_count);
  NAME(polish_affine)(&t, effort->moves, effort->move_count, high, &best);
  for (int k = 0; k < effort->refits; k++) {
    NAME(affine_try) next = best;
    NAME(refit_affine)(&t, w1, x1, high, &next);
    NAME(polish_affine)(&t, effort->moves, effort->refit_move_count, high, &next);
    NAME(keep_try)(&next, &best);
  }
  *d = best.d, *dmin = best.dmin;
  *scales = __builtin_convertvector(best.scales, ck_n16);
  *minimums = __builtin_convertvector(best.minimums, ck_n16);
  NAME(tile_codes)(
    &t, 32, NAME(stored)(best.d, &t) * best.scales, -NAME(stored)(best.dmin, &t) * best.minimums, 0, high, codes);
}
