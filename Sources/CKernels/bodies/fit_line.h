// Fits of y = s·v, v an integer of a range or an entry of the iq4 table: one scale a block, or 256 weights whose
// groups share a half-precision scale. Included once for each instruction set by encode.c. No include guard.

// The grid's value nearest to t, for eight t.
CK_INLINE ck_v8 NAME(nearest)(ck_v8 t, int is_table, float low, float high) {
  if (!is_table) return NAME(round)(NAME(clamp)(t, low, high));
  // ⌈2t⌉; a number that is above a whole one by less than 2⁻¹⁶ may count as that, a tie as good as any.
  ck_v8 twice = NAME(round)(NAME(clamp)(2 * t, 2 * low, 2 * high) + (0.5f - 0x1p-16f));
  ck_i8 place = __builtin_convertvector(twice, ck_i8) + 254;
  ck_v8 value;
  for (int k = 0; k < 8; k++) value[k] = (float)ck_iq4_nearest[place[k]];
  return value;
}

CK_INLINE ck_line_sums NAME(line_sums_of)(
  const float *x, const float *w, int n, ck_v8 s, int is_table, float low, float high) {
  ck_line_sums a = {0, 0, 0};
  ck_v8 inverse = 1 / s;
  for (int i = 0; i < n; i++) {
    ck_v8 v = NAME(all)(x[i]), weight = NAME(all)(w[i]);
    ck_v8 q = NAME(nearest)(v * inverse, is_table, low, high);
    ck_v8 e = v - s * q;
    ck_v8 we = weight * e;
    a.ee += we * e;
    a.eq += we * q;
    a.qq += weight * q * q;
  }
  return a;
}

static void NAME(line_sums)(
  const float *x, const float *w, int n, const ck_v8 *s, const ck_grid *grid, ck_line_sums *sums) {
  if (grid->is_table) *sums = NAME(line_sums_of)(x, w, n, *s, 1, grid->low, grid->high);
  else *sums = NAME(line_sums_of)(x, w, n, *s, 0, grid->low, grid->high);
}

CK_INLINE ck_v8 NAME(line_errors_of)(
  const float *x, const float *w, int n, ck_v8 s, int is_table, float low, float high) {
  ck_v8 ee = 0;
  ck_v8 inverse = s == 0 ? 0 : 1 / s;
  for (int i = 0; i < n; i++) {
    ck_v8 v = NAME(all)(x[i]);
    ck_v8 e = v - s * NAME(nearest)(v * inverse, is_table, low, high);
    ee += NAME(all)(w[i]) * e * e;
  }
  return ee;
}

// The errors of a group under eight scales; a scale of zero gives zeros.
static void NAME(line_errors)(
  const float *x, const float *w, int n, const ck_v8 *s, const ck_grid *grid, ck_v8 *errors) {
  if (grid->is_table) *errors = NAME(line_errors_of)(x, w, n, *s, 1, grid->low, grid->high);
  else *errors = NAME(line_errors_of)(x, w, n, *s, 0, grid->low, grid->high);
}

// Takes the candidates that are better than the best so far, each with the best scale for its codes.
CK_INLINE void NAME(keep_better)(ck_line_sums a, ck_v8 s, ck_v8 *scale, ck_v8 *best) {
  ck_v8 change = a.eq / a.qq;
  ck_v8 error = a.ee - change * a.eq;
  ck_i8 better = (a.qq > 0) & (error < *best);
  *scale = better ? s + change : *scale;
  *best = better ? error : *best;
}

// The scale with the least error: clippings of both signs, each with the best scale for its codes; then codes
// and scale in turn, for the best of each lane. Zero for a group of zeros.
static float NAME(search_line)(const float *x, const float *w, int n, int wide, const ck_grid *grid) {
  float peak = 0;
  for (int i = 0; i < n; i++) peak = __builtin_fabsf(x[i]) > __builtin_fabsf(peak) ? x[i] : peak;
  if (__builtin_fabsf(peak) < 0x1p-60f) return 0;
  const ck_v8 places = {0, 0, 1, 1, 2, 2, 3, 3};
  const float low = grid->low, high = grid->high;
  const ck_v8 extremes = {low, high, low, high, low, high, low, high};
  ck_v8 best = NAME(all)(__builtin_inff()), scale = 0, s;
  ck_line_sums sums;
  for (int k = 0; k < grid->steps << wide; k += 4) {
    s = peak / (extremes * (grid->start + grid->step * (places + (float)k)));
    NAME(line_sums)(x, w, n, &s, grid, &sums);
    NAME(keep_better)(sums, s, &scale, &best);
  }
  for (int k = 0; k < 3; k++) {
    s = scale;
    NAME(line_sums)(x, w, n, &s, grid, &sums);
    NAME(keep_better)(sums, s, &scale, &best);
  }
  return scale[NAME(least_lane)(best)];
}

// The codes for a scale as it is stored.
static void NAME(line_codes)(const float *x, int n, float s, const ck_grid *grid, uint8_t *codes) {
  float inverse = s == 0 ? 0 : 1 / s;
  for (int i = 0; i < n; i++) {
    float t = x[i] * inverse;
    if (grid->is_table) {
      int code = 0;
      for (int k = 0; k < 15; k++) code += t > 0.5f * (float)(ck_iq4_values[k] + ck_iq4_values[k + 1]);
      codes[i] = (uint8_t)code;
    } else {
      t = t > grid->low ? t : grid->low;
      t = t < grid->high ? t : grid->high;
      codes[i] = (uint8_t)(int)(((t + 12582912.0f) - 12582912.0f) - grid->low);
    }
  }
}

static void NAME(fit_line)(
  const float *x, const float *importance, ck_grid grid, uint8_t *codes, uint16_t *d) {
  ck_block b;
  *d = 0;
  if (!NAME(prepare)(x, importance, 32, 32, grid.floor, &b)) {
    for (int i = 0; i < 32; i++) b.x[i] = 0;
    NAME(line_codes)(b.x, 32, 0, &grid, codes);
    return;
  }
  uint16_t half = NAME(store)(NAME(search_line)(b.x, b.w, 32, b.wide, &grid), &b);
  ck_v8 s, errors;
  for (int k = 0; k < 8; k++) s[k] = NAME(stored)(NAME(neighbour)(half, k - 4), &b);
  NAME(line_errors)(b.x, b.w, 32, &s, &grid, &errors);
  int lane = NAME(least_lane)(errors);
  *d = NAME(neighbour)(half, lane - 4);
  NAME(line_codes)(b.x, 32, s[lane], &grid, codes);
}

// A group or a row of any length, copied in units of its peak with its weights, both filled up with zeros to a
// multiple of 8 (`room`). Returns 0 when every half-precision scale for it is zero. Of `b` only unit and wide are used.
static int NAME(prepare_long)(
  const float *x, const float *importance, size_t count, size_t room, float floor, float *values, float *weights,
  ck_block *b) {
  float peak = NAME(largest)(x, (int)count);
  b->unit = 1;
  if (!(peak >= 0x1p-40f)) return 0;
  uint32_t bits;
  __builtin_memcpy(&bits, &peak, 4);
  bits &= 0x7f800000u;
  bits = bits > 0x7e800000u ? 0x7e800000u : bits;  // 2^126, whose inverse is a normal number
  __builtin_memcpy(&b->unit, &bits, 4);
  float inverse = 1 / b->unit;
  for (size_t i = 0; i < room; i++) values[i] = i < count ? x[i] * inverse : 0;
  ck_v8 squares = 0;
  for (size_t i = 0; i < room; i += 8) {
    ck_v8 v;
    __builtin_memcpy(&v, values + i, 32);
    squares += v * v;
  }
  float mean = NAME(sum)(squares) / (float)count;
  float top = importance ? NAME(largest)(importance, (int)count) : 0;
  b->wide = top > 0 && top < __builtin_inff();
  for (size_t i = 0; i < room; i++) {
    float square = values[i] * values[i], weight = floor * mean + square;
    if (b->wide) weight = i < count ? (importance[i] / top) * __builtin_sqrtf(2 * mean + square) : 0;
    weights[i] = i < count ? weight : 0;
  }
  return 1;
}

static void NAME(fit_line_long)(
  const float *x, const float *importance, size_t count, ck_grid grid, float *scratch, uint8_t *codes,
  uint16_t *d) {
  ck_block b;
  size_t room = (count + 7) / 8 * 8;
  float *values = scratch, *weights = scratch + room;
  *d = 0;
  if (!NAME(prepare_long)(x, importance, count, room, grid.floor, values, weights, &b)) {
    for (size_t i = 0; i < count; i++) codes[i] = (uint8_t)(int)-grid.low;
    return;
  }
  int n = (int)count;
  uint16_t half = NAME(store)(NAME(search_line)(values, weights, n, b.wide, &grid), &b);
  ck_v8 s, errors;
  for (int k = 0; k < 8; k++) s[k] = NAME(stored)(NAME(neighbour)(half, k - 4), &b);
  NAME(line_errors)(values, weights, n, &s, &grid, &errors);
  int lane = NAME(least_lane)(errors);
  *d = NAME(neighbour)(half, lane - 4);
  NAME(line_codes)(values, n, s[lane], &grid, codes);
}

// One try at a super-block.
typedef struct {
  uint16_t d;
  int8_t scales[16];
  float error;
} NAME(line_try);

// The whole numbers nearest to v, from −top − 1 to top.
CK_INLINE ck_v8 NAME(integers)(ck_v8 v, int top) {
  return NAME(round)(NAME(clamp)(v, (float)(-top - 1), (float)top));
}

// The errors of the super-block under eight shared scales, every group's integer the best of the three nearest
// to its ideal.
static ck_v8 NAME(shared_errors)(
  const ck_block *b, int group, const ck_grid *grid, ck_v8 d, int top, const float *ideal) {
  ck_v8 total = 0, inverse = d == 0 ? 0 : 1 / d;
  for (int g = 0; g < 256 / group; g++) {
    ck_v8 wanted = NAME(integers)(ideal[g] * inverse, top), least = NAME(all)(__builtin_inff());
    for (int side = -1; side <= 1; side++) {
      ck_v8 s = d * NAME(integers)(wanted + (float)side, top), errors;
      NAME(line_errors)(b->x + g * group, b->w + g * group, group, &s, grid, &errors);
      least = NAME(least)(errors, least);
    }
    total += least;
  }
  return total;
}

// Gives every group the best of eight integers near its ideal.
static void NAME(line_integers)(
  const ck_block *b, int group, const ck_grid *grid, int top, const float *ideal, NAME(line_try) *t) {
  const ck_v8 sides = {0, -1, 1, -2, 2, -3, 3, 4};
  float d = NAME(stored)(t->d, b);
  t->error = 0;
  for (int g = 0; g < 256 / group; g++) {
    float wanted = d == 0 ? 0 : ideal[g] / d;
    ck_v8 integers = NAME(integers)(NAME(integers)(NAME(all)(wanted), top) + sides, top);
    ck_v8 s = d * integers, errors;
    NAME(line_errors)(b->x + g * group, b->w + g * group, group, &s, grid, &errors);
    int lane = NAME(least_lane)(errors);
    t->scales[g] = (int8_t)(int)integers[lane];
    t->error += errors[lane];
  }
}

// The shared scale that suits the codes best, everything else kept; each group's scale moves with it.
static void NAME(line_refit)(
  const ck_block *b, int group, const ck_grid *grid, NAME(line_try) *t, float *ideal) {
  float d = NAME(stored)(t->d, b), slope = 0, curvature = 0;
  for (int g = 0; g < 256 / group; g++) {
    float scale = (float)t->scales[g];
    if (scale == 0 || d == 0) continue;
    ck_v8 s = NAME(all)(d * scale);
    ck_line_sums sums;
    NAME(line_sums)(b->x + g * group, b->w + g * group, group, &s, grid, &sums);
    slope += scale * sums.eq[0];
    curvature += scale * scale * sums.qq[0];
  }
  if (curvature > 0) t->d = NAME(store)(d + slope / curvature, b);
  for (int g = 0; g < 256 / group; g++) ideal[g] = NAME(stored)(t->d, b) * (float)t->scales[g];
}

// The shared scale to start from: the largest group's scale at different integers, both signs.
static uint16_t NAME(line_start)(
  const ck_block *b, int group, const ck_grid *grid, int top, const float *ideal, float peak) {
  uint16_t best = 0;
  float least = __builtin_inff();
  for (int batch = 0; batch < 2; batch++) {
    uint16_t halves[8];
    ck_v8 d;
    for (int k = 0; k < 8; k++) {
      float extreme = (float)(k % 2 ? top : -top - 1);
      halves[k] = NAME(store)(peak / (extreme * (1.03f - 0.03f * (float)(4 * batch + k / 2))), b);
      d[k] = NAME(stored)(halves[k], b);
    }
    ck_v8 errors = NAME(shared_errors)(b, group, grid, d, top, ideal);
    int lane = NAME(least_lane)(errors);
    if (errors[lane] < least) least = errors[lane], best = halves[lane];
  }
  return best;
}

static void NAME(fit_line_groups)(
  const float *x, const float *importance, int group, ck_grid grid, int top, uint8_t *codes, int8_t *scales,
  uint16_t *d) {
  ck_block b;
  float ideal[16], peak = 0;
  int groups = 256 / group;
  NAME(line_try) best = {.d = 0};
  if (NAME(prepare)(x, importance, 256, group, grid.floor, &b)) {
    for (int g = 0; g < groups; g++) {
      ideal[g] = NAME(search_line)(b.x + g * group, b.w + g * group, group, b.wide, &grid);
      peak = __builtin_fabsf(ideal[g]) > __builtin_fabsf(peak) ? ideal[g] : peak;
    }
    if (peak != 0) best.d = NAME(line_start)(&b, group, &grid, top, ideal, peak);
    NAME(line_integers)(&b, group, &grid, top, ideal, &best);
    for (int k = 0; k < 4; k++) {
      NAME(line_try) next = best;
      NAME(line_refit)(&b, group, &grid, &next, ideal);
      NAME(line_integers)(&b, group, &grid, top, ideal, &next);
      if (!(next.error < best.error)) break;
      best = next;
    }
  } else {
    for (int i = 0; i < 256; i++) b.x[i] = 0;
    b.unit = 1;
  }
  *d = best.d;
  float stored = NAME(stored)(best.d, &b);
  for (int g = 0; g < groups; g++) {
    scales[g] = best.scales[g];
    NAME(line_codes)(b.x + g * group, group, stored * (float)scales[g], &grid, codes + g * group);
  }
}
