// Rounding to y = s·q: blocks with a scale of their own, and 256 weights whose 16 groups share one. Included once for each
// instruction set by round.c. No include guard.

// What codes under one scale for each lane leave to know: the best scale for them is qx / qq, and it takes qx² / qq off Σ w·x².
typedef struct {
  ck_v16 qx, qq;
} NAME(line_sums);

CK_INLINE NAME(line_sums) NAME(sum_line)(const ck_tile *t, int n, ck_v16 inverse, float low, float high) {
  NAME(lanes) qx[NAME(parts)], qq[NAME(parts)], bottom = low, top = high;
  for (int part = 0; part < NAME(parts); part++) {
    NAME(lanes) by = PART(inverse, part), x_sum = 0, q_sum = 0;
    for (int i = 0; i < n; i++) {
      NAME(lanes) v = NAME(take)(&t->x[i], part);
      NAME(lanes) q = NAME(code)(v * by, bottom, top);
      NAME(lanes) wq = NAME(take)(&t->w[i], part) * q;
      x_sum += wq * v;
      q_sum += wq * q;
    }
    qx[part] = x_sum, qq[part] = q_sum;
  }
  return (NAME(line_sums)){JOIN(qx), JOIN(qq)};
}

// The sums for two scales of each lane.
CK_INLINE void NAME(sum_lines)(
  const ck_tile *t, int n, const ck_v16 inverse[2], float low, float high, NAME(line_sums) sums[2]) {
  NAME(lanes) qx[2][NAME(parts)], qq[2][NAME(parts)], bottom = low, top = high;
  for (int part = 0; part < NAME(parts); part++) {
    NAME(lanes) by_a = PART(inverse[0], part), by_b = PART(inverse[1], part), ax = 0, aq = 0, bx = 0, bq = 0;
    for (int i = 0; i < n; i++) {
      NAME(lanes) v = NAME(take)(&t->x[i], part), w = NAME(take)(&t->w[i], part);
      NAME(lanes) a = NAME(code)(v * by_a, bottom, top), b = NAME(code)(v * by_b, bottom, top);
      NAME(lanes) wa = w * a, wb = w * b;
      ax += wa * v;
      bx += wb * v;
      aq += wa * a;
      bq += wb * b;
    }
    qx[0][part] = ax, qq[0][part] = aq, qx[1][part] = bx, qq[1][part] = bq;
  }
  sums[0] = (NAME(line_sums)){JOIN(qx[0]), JOIN(qq[0])};
  sums[1] = (NAME(line_sums)){JOIN(qx[1]), JOIN(qq[1])};
}

// The errors of the lanes under two scales each, which may be zero; `zero` has the error of that.
CK_INLINE void NAME(line_errors)(
  const ck_tile *t, int n, ck_v16 s, ck_v16 r, ck_v16 zero, float low, float high, ck_v16 *error_s, ck_v16 *error_r) {
  NAME(lanes) a[NAME(parts)], b[NAME(parts)], bottom = low, top = high;
  ck_v16 by_s = NAME(inverse)(s), by_r = NAME(inverse)(r);
  for (int part = 0; part < NAME(parts); part++) {
    NAME(lanes) first = PART(by_s, part), second = PART(by_r, part), a_sum = 0, b_sum = 0;
    for (int i = 0; i < n; i++) {
      NAME(lanes) v = NAME(take)(&t->x[i], part), w = NAME(take)(&t->w[i], part);
      NAME(lanes) p = v * first, q = v * second;
      p -= NAME(code)(p, bottom, top);
      q -= NAME(code)(q, bottom, top);
      a_sum += w * p * p;
      b_sum += w * q * q;
    }
    a[part] = a_sum, b[part] = b_sum;
  }
  *error_s = s == 0 ? zero : s * s * JOIN(a);
  *error_r = r == 0 ? zero : r * r * JOIN(b);
}

CK_INLINE void NAME(keep_line)(const NAME(line_sums) *a, NAME(line_sums) *best) {
  ck_n16 better = a->qx * a->qx * best->qq > best->qx * best->qx * a->qq;
  best->qx = better ? a->qx : best->qx;
  best->qq = better ? a->qq : best->qq;
}

// The best scale for the best of the codes that a few scales give, the peak lying at `places`, in units of the scale. The two
// best change places with their codes in turn.
CK_INLINE ck_v16 NAME(search_line)(const ck_tile *t, int n, const ck_line_effort *effort, float low, float high) {
  ck_v16 peak = -t->least > t->most ? t->least : t->most;
  ck_v16 inverse = NAME(magnitude)(peak) < 0x1p-60f ? 0 : 1 / peak;
  NAME(line_sums) best[2] = {{0, 1}, {0, 1}}, sums[2];
  for (int k = 0; k < effort->place_count + 2 * effort->turns; k += 2) {
    ck_v16 by[2];
    for (int side = 0; side < 2; side++) {
      by[side] = k < effort->place_count ? inverse * effort->places[k + side]
        : best[side].qx == 0 ? 0 : best[side].qq / best[side].qx;
    }
    NAME(sum_lines)(t, n, by, low, high, sums);
    for (int side = 0; side < 2; side++) NAME(keep_line)(&sums[side], &best[side]);
  }
  NAME(keep_line)(&best[1], &best[0]);
  return best[0].qx / best[0].qq;
}

// Sixteen blocks of 32, y = d·(code + low).
CK_INLINE void NAME(round_lines)(
  const float *x, const ck_line_effort *effort, float low, float high, ck_n16 *d, ck_tile_codes *codes) {
  ck_tile t;
  NAME(load_tile)(x, 32, &t);
  NAME(normalize)(32, NAME(most)(-t.least, t.most), &t);
  ck_v16 floor = 1.4f * t.squares / 32;
  for (int i = 0; i < 32; i++) t.w[i] = floor + t.x[i] * t.x[i];
  *d = NAME(store)(NAME(search_line)(&t, 32, effort, low, high), &t);
  NAME(tile_codes)(&t, 32, NAME(stored)(*d, &t), (ck_v16)0, low, high, codes);
}

// One try at 256 weights, the lanes being their groups; d and the error are the same in all lanes.
typedef struct {
  ck_n16 d;
  ck_v16 integers, error;
} NAME(line_try);

// The whole numbers nearest to v, from −128 to 127.
CK_INLINE ck_v16 NAME(bytes)(ck_v16 v) { return NAME(round)(NAME(clamp)(v, -128, 127)); }

// Gives every group the best of 2·reach + 2 integers near its ideal, more of them above.
CK_INLINE void NAME(line_integers)(
  const ck_tile *t, ck_v16 ideal, ck_v16 zero, int reach, float low, float high, NAME(line_try) *try) {
  ck_v16 d = NAME(stored)(try->d, t);
  ck_v16 middle = NAME(bytes)(ideal * NAME(inverse)(d)), least = __builtin_inff();
  ck_v16 outward = middle < 0 ? (ck_v16)-1 : (ck_v16)1;
  for (int k = 0; k <= reach; k++) {
    ck_v16 a = NAME(bytes)(middle - outward * (float)k), b = NAME(bytes)(middle + outward * (float)(k + 1));
    ck_v16 error_a, error_b;
    NAME(line_errors)(t, 16, a * d, b * d, zero, low, high, &error_a, &error_b);
    try->integers = error_a < least ? a : k == 0 ? middle : try->integers;
    least = NAME(least)(error_a, least);
    try->integers = error_b < least ? b : try->integers;
    least = NAME(least)(error_b, least);
  }
  least = NAME(sum_eight)(least);
  try->error = least + NAME(swap_eights)(least);
}

// 256 weights in groups of 16, y = d·integer·(code + low).
CK_INLINE void NAME(round_line_groups)(
  const float *x, const ck_line_effort *effort, float low, float high, ck_n16 *d, ck_n16 *integers,
  ck_tile_codes *codes) {
  ck_tile t;
  NAME(load_tile)(x, 16, &t);
  ck_v16 peak = NAME(most_of_eight)(NAME(most)(-t.least, t.most)), zero = 0;
  NAME(normalize)(16, NAME(most)(peak, NAME(swap_eights)(peak)), &t);
  NAME(weigh_by_magnitude)(16, &t);
  for (int i = 0; i < 16; i++) zero += t.w[i] * t.x[i] * t.x[i];
  ck_v16 ideal = NAME(search_line)(&t, 16, effort, low, high);
  ck_v16 highest = NAME(most_of_eight)(ideal), lowest = -NAME(most_of_eight)(-ideal);
  highest = NAME(most)(highest, NAME(swap_eights)(highest));
  lowest = NAME(least)(lowest, NAME(swap_eights)(lowest));
  ck_v16 extreme = -lowest > highest ? lowest : highest;
  NAME(line_try) best = {NAME(store)(extreme / -128, &t), 0, __builtin_inff()};
  // Tiny halves lie far apart: rounded up where the largest scale would be well out of reach.
  ck_n16 short_of = 128.8f * NAME(magnitude)(NAME(stored)(best.d, &t)) < NAME(magnitude)(extreme);
  best.d += short_of & ((best.d & 0x7fff) < 0x7bff) & 1;
  NAME(line_integers)(&t, ideal, zero, effort->reach, low, high, &best);
  for (int k = 0; k < effort->refits; k++) {
    ck_v16 s = NAME(stored)(best.d, &t) * best.integers;
    NAME(line_sums) sums = NAME(sum_line)(&t, 16, NAME(inverse)(s), low, high);
    ck_v16 qx = NAME(sum_eight)(best.integers * sums.qx), qq = NAME(sum_eight)(best.integers * best.integers * sums.qq);
    qx += NAME(swap_eights)(qx), qq += NAME(swap_eights)(qq);
    NAME(line_try) next = best;
    next.d = qq > 0 ? NAME(store)(qx / qq, &t) : best.d;
    ck_v16 moved = NAME(stored)(next.d, &t);
    NAME(line_integers)(&t, moved * best.integers, zero, 0, low, high, &next);
    ck_n16 better = next.error < best.error;
    best.d = better ? next.d : best.d;
    best.integers = better ? next.integers : best.integers;
    best.error = better ? next.error : best.error;
  }
  *d = best.d, *integers = __builtin_convertvector(best.integers, ck_n16);
  NAME(tile_codes)(&t, 16, NAME(stored)(best.d, &t) * best.integers, (ck_v16)0, low, high, codes);
}
