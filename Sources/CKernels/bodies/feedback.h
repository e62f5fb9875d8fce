// Rounding with error feedback: sixteen rows in lanes. No include guard.

// The nearest level to each t, and its code.
CK_INLINE CK(f16v) CK(nearest_level)(const ck_feedback *f, CK(f16v) t, CK(i16v) *code) {
  const float low = f->levels[0], high = f->levels[f->level_count - 1];
  if (f->is_uniform) {
    // Adding 1.5 · 2²³ leaves no fraction bits: the sum is rounded to an integer, ties to even.
    const float big = 12582912;
    const CK(f16v) bottom = low - (CK(f16v)){0}, top = high - (CK(f16v)){0};
    t = CK(select)(t > low, CK(select)(t < high, t, top), bottom);
    CK(f16v) level = (t + big) - big;
    *code = __builtin_convertvector(level - low, CK(i16v));
    return level;
  }
  CK(f16v) level = low - (CK(f16v)){0};
  CK(i16v) number = {0};
  for (size_t i = 1; i < f->level_count; i++) {
    const CK(i16v) above = t > (f->levels[i - 1] + f->levels[i]) / 2;
    number -= above;
    level = CK(select)(above, f->levels[i] - (CK(f16v)){0}, level);
  }
  *code = number;
  return level;
}

// What the nearest code to x stands for in column p of the rows from r on.
CK_INLINE CK(f16v) CK(nearest_value)(const ck_feedback *f, size_t p, size_t r, CK(f16v) x, CK(i16v) *code) {
  const size_t grid = (size_t)f->groups[p] * f->rows + r;
  const CK(f16v) offset = CK(load)(f->offsets + grid);
  const CK(f16v) t = (x - offset) * CK(load)(f->inverses + grid);
  return CK(load)(f->scales + grid) * CK(nearest_level)(f, t, code) + offset;
}

static void CK(round_block)(const ck_feedback *f) {
  CK(f16v) shift[CK_FEEDBACK_COLUMNS];
  for (size_t r = 0; r < f->rows; r += 16) {
    for (size_t k = 0; k < f->count; k++) shift[k] = CK(load)(f->shift + k * f->rows + r);
    for (size_t k = f->count; k-- > 0;) {
      const size_t p = f->start + k, place = p * f->rows + r;
      const CK(f16v) weight = CK(load)(f->weights + place);
      CK(i16v) code;
      CK(f16v) x = weight + shift[k];
      if (f->kept) x *= CK(load)(f->kept + place);
      const CK(f16v) error = weight - CK(nearest_value)(f, p, r, x, &code);
      CK(store)(f->errors + place, error);
      const CK(u16b) bytes = __builtin_convertvector(code, CK(u16b));
      __builtin_memcpy(f->codes + place, &bytes, 16);
      const float *row = f->matrix + p * f->columns + f->start;
      for (size_t i = 0; i < k; i++) shift[i] += row[i] * error;
    }
  }
}

static size_t CK(descend_block)(const ck_feedback *f) {
  CK(f16v) slope[CK_FEEDBACK_COLUMNS];
  size_t changes = 0;
  for (size_t r = 0; r < f->rows; r += 16) {
    for (size_t k = 0; k < f->count; k++) slope[k] = CK(load)(f->shift + k * f->rows + r);
    for (size_t k = f->count; k-- > 0;) {
      const size_t p = f->start + k, place = p * f->rows + r;
      const float *row = f->matrix + p * f->columns + f->start;
      const float curvature = row[k];
      const CK(f16v) weight = CK(load)(f->weights + place), error = CK(load)(f->errors + place);
      CK(i16v) code;
      CK(f16v) x = weight - error + slope[k] / curvature;
      if (f->kept) x *= CK(load)(f->kept + place);
      CK(f16v) change = weight - CK(nearest_value)(f, p, r, x, &code) - error;
      CK(u16b) bytes;
      __builtin_memcpy(&bytes, f->codes + place, 16);
      const CK(i16v) old = __builtin_convertvector(bytes, CK(i16v));
      // Only if it pays in exact terms: rounding may land on a tie.
      const CK(i16v) better = (code != old) & (change * (2 * slope[k] + change * curvature) < 0);
      change = CK(select)(better, change, (CK(f16v)){0});
      CK(store)(f->changes + k * f->rows + r, change);
      const size_t count = (size_t)-__builtin_reduce_add(better);
      if (count == 0) continue;
      changes += count;
      CK(store)(f->errors + place, error + change);
      bytes = __builtin_convertvector((better & code) | (~better & old), CK(u16b));
      __builtin_memcpy(f->codes + place, &bytes, 16);
      for (size_t i = 0; i < f->count; i++) slope[i] += row[i] * change;
    }
  }
  return changes;
}
