// Fits of y = s·v, v an integer of a range or an entry of the iq4 table: one scale a block, or 256 weights whose
// groups share a half-precision scale. Included once for each instruction set by encode.c. No include guard.

// The grid's value nearest to t, for eight t.
CK_INLINE ck_v8 NAME(nearest)(ck_v8 t, int is_table, float low, float high) {
  if (!is_table) return NAME(round)(NAME(clamp)(t, low, high));
  ck_v8 value = (ck_v8)-127.0f;
  for (int k = 0; k < 15; k++) {
    float middle = 0.5f * (float)(ck_iq4_values[k] + ck_iq4_values[k + 1]);
    float jump = (float)(ck_iq4_values[k + 1] - ck_iq4_values[k]);
    value += t > (ck_v8)middle ? (ck_v8)jump : (ck_v8)0.0f;
  }
  return value;
}

CK_INLINE ck_line_sums NAME(line_sums_of)(
  const float *x, const float *w, int n, float s, int is_table, float low, float high) {
  ck_v8 ee = 0, eq = 0, qq = 0;
  float inverse = 1 / s;
  for (int i = 0; i < n; i += 8) {
    ck_v8 v = NAME(load)(x + i), weight = NAME(load)(w + i);
    ck_v8 q = NAME(nearest)(v * inverse, is_table, low, high);
    ck_v8 e = v - s * q;
    ee += weight * e * e;
    eq += weight * e * q;
    qq += weight * q * q;
  }
  return (ck_line_sums){NAME(sum)(ee), NAME(sum)(eq), NAME(sum)(qq)};
}

static ck_line_sums NAME(line_sums)(const float *x, const float *w, int n, float s, const ck_grid *grid) {
  if (grid->is_table) return NAME(line_sums_of)(x, w, n, s, 1, grid->low, grid->high);
  return NAME(line_sums_of)(x, w, n, s, 0, grid->low, grid->high);
}

// The error of a group whose scale is s; with s == 0 that of zeros.
static float NAME(line_error)(const float *x, const float *w, int n, float s, const ck_grid *grid) {
  if (s != 0) return NAME(line_sums)(x, w, n, s, grid).ee;
  ck_v8 ee = 0;
  for (int i = 0; i < n; i += 8) ee += NAME(load)(w + i) * NAME(load)(x + i) * NAME(load)(x + i);
  return NAME(sum)(ee);
}

// The scale with the least error: clippings of both signs, each with the best scale for its codes, then codes
// and scale in turn. Zero for a group of zeros.
static float NAME(search_line)(const float *x, const float *w, int n, const ck_grid *grid) {
  float peak = 0;
  for (int i = 0; i < n; i++) peak = __builtin_fabsf(x[i]) > __builtin_fabsf(peak) ? x[i] : peak;
  if (__builtin_fabsf(peak) < 0x1p-60f) return 0;
  float best = __builtin_inff(), scale = 0;
  for (int k = 0; k < 2 * grid->steps; k++) {
    float extreme = k % 2 ? grid->high : grid->low;
    float s = peak / (extreme * (grid->start + grid->step * (float)(k / 2)));
    ck_line_sums sums = NAME(line_sums)(x, w, n, s, grid);
    if (!(sums.qq > 0)) continue;
    float change = sums.eq / sums.qq, error = sums.ee - change * sums.eq;
    if (error < best) best = error, scale = s + change;
  }
  for (int k = 0; k < 4 && scale != 0; k++) {
    ck_line_sums sums = NAME(line_sums)(x, w, n, scale, grid);
    if (!(sums.qq > 0)) break;
    float change = sums.eq / sums.qq, error = sums.ee - change * sums.eq;
    if (!(error < best)) break;
    best = error, scale += change;
  }
  return scale;
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
  uint16_t best = 0;
  if (NAME(prepare)(x, importance, 32, 32, &b)) {
    uint16_t half = NAME(store)(NAME(search_line)(b.x, b.w, 32, &grid), &b);
    float least = __builtin_inff();
    for (int step = -2; step <= 2; step++) {
      uint16_t near = NAME(neighbour)(half, step);
      float error = NAME(line_error)(b.x, b.w, 32, NAME(stored)(near, &b), &grid);
      if (error < least) least = error, best = near;
    }
    *d = best;
    NAME(line_codes)(b.x, 32, NAME(stored)(best, &b), &grid, codes);
  } else {
    for (int i = 0; i < 32; i++) b.x[i] = 0;
    NAME(line_codes)(b.x, 32, 0, &grid, codes);
  }
}

// The best integer scale for each group under the shared scale d, among those next to the ideal, and the
// resulting error. `reach` is how many integers on either side are tried.
static float NAME(line_scales)(
  const ck_block *b, int group, const ck_grid *grid, float d, int top, int reach, const float *ideal,
  int8_t *scales) {
  float total = 0;
  for (int g = 0; g < 256 / group; g++) {
    float wanted = d == 0 ? 0 : ideal[g] / d;
    wanted = wanted > (float)(-top - 1) ? wanted : (float)(-top - 1);
    wanted = wanted < (float)top ? wanted : (float)top;
    int middle = (int)((wanted + 12582912.0f) - 12582912.0f);
    float least = __builtin_inff();
    for (int scale = middle - reach; scale <= middle + reach; scale++) {
      if (scale < -top - 1 || scale > top) continue;
      float error = NAME(line_error)(b->x + g * group, b->w + g * group, group, d * (float)scale, grid);
      if (error < least) least = error, scales[g] = (int8_t)scale;
    }
    total += least;
  }
  return total;
}

// The shared scale that suits the codes best, everything else kept.
static float NAME(line_refit)(
  const ck_block *b, int group, const ck_grid *grid, float d, const int8_t *scales) {
  float slope = 0, curvature = 0;
  for (int g = 0; g < 256 / group; g++) {
    float scale = (float)scales[g];
    if (scale == 0) continue;
    ck_line_sums sums = NAME(line_sums)(b->x + g * group, b->w + g * group, group, d * scale, grid);
    slope += scale * sums.eq;
    curvature += scale * scale * sums.qq;
  }
  return curvature > 0 ? d + slope / curvature : d;
}

static void NAME(fit_line_groups)(
  const float *x, const float *importance, int group, ck_grid grid, int top, uint8_t *codes, int8_t *scales,
  uint16_t *d) {
  ck_block b;
  float ideal[16], peak = 0;
  int groups = 256 / group;
  *d = 0;
  for (int g = 0; g < groups; g++) scales[g] = 0;
  if (!NAME(prepare)(x, importance, 256, group, &b)) {
    for (int i = 0; i < 256; i++) b.x[i] = 0;
    NAME(line_codes)(b.x, 256, 0, &grid, codes);
    return;
  }
  for (int g = 0; g < groups; g++) {
    ideal[g] = NAME(search_line)(b.x + g * group, b.w + g * group, group, &grid);
    peak = __builtin_fabsf(ideal[g]) > __builtin_fabsf(peak) ? ideal[g] : peak;
  }
  // The largest group's scale at different integers, both signs of d.
  float least = __builtin_inff();
  int8_t tried[16];
  for (int k = 0; k < 12; k++) {
    float extreme = (float)(k % 2 ? top : -top - 1);
    uint16_t half = NAME(store)(peak / (extreme * (1 - 0.03f * (float)(k / 2))), &b);
    float error = NAME(line_scales)(&b, group, &grid, NAME(stored)(half, &b), top, 1, ideal, tried);
    if (error < least) {
      least = error, *d = half;
      __builtin_memcpy(scales, tried, sizeof tried < (size_t)groups ? sizeof tried : (size_t)groups);
    }
  }
  for (int k = 0; k < 4; k++) {
    float stored = NAME(stored)(*d, &b);
    uint16_t half = NAME(store)(NAME(line_refit)(&b, group, &grid, stored, scales), &b);
    float centre[16];
    for (int g = 0; g < groups; g++) centre[g] = NAME(stored)(half, &b) * (float)scales[g];
    float error = NAME(line_scales)(&b, group, &grid, NAME(stored)(half, &b), top, 2, centre, tried);
    if (!(error < least)) break;
    least = error, *d = half;
    __builtin_memcpy(scales, tried, (size_t)groups);
  }
  float stored = NAME(stored)(*d, &b);
  for (int g = 0; g < groups; g++)
    NAME(line_codes)(b.x + g * group, group, stored * (float)scales[g], &grid, codes + g * group);
}
