// Products of float matrices: panels are packed so that the innermost loop reads memory in order, and a tile of
// CK_PRODUCT_ROWS × (CK_PRODUCT_VECTORS · CK_PRODUCT_LANES) sums stays in registers. CK_PRODUCT_ADD(sum, a, b) is sum + a · b where
// elements are more than floats. No include guard.

#define CK_PRODUCT_WIDTH (CK_PRODUCT_VECTORS * CK_PRODUCT_LANES)
typedef float CK(pv) __attribute__((vector_size(4 * CK_PRODUCT_LANES)));
#ifndef CK_PRODUCT_ADD
#define CK_PRODUCT_ADD(sum, a, b) ((a) * (b) + (sum))
#endif

// Adds alpha times one tile: `rows` × `columns` of it are stored.
static void CK(product_tile)(const float *a, const float *b, size_t inner, float alpha, float *c, size_t c_row,
                             size_t rows, size_t columns) {
  CK(pv) sum[CK_PRODUCT_ROWS][CK_PRODUCT_VECTORS];
#pragma clang loop unroll(full)
  for (int i = 0; i < CK_PRODUCT_ROWS; i++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < CK_PRODUCT_VECTORS; v++) sum[i][v] = (CK(pv)){0};
  }
  for (size_t k = 0; k < inner; k++, a += CK_PRODUCT_ROWS, b += CK_PRODUCT_WIDTH) {
    CK(pv) right[CK_PRODUCT_VECTORS];
    __builtin_memcpy(right, b, sizeof right);
#pragma clang loop unroll(full)
    for (int i = 0; i < CK_PRODUCT_ROWS; i++) {
#pragma clang loop unroll(full)
      for (int v = 0; v < CK_PRODUCT_VECTORS; v++) sum[i][v] = CK_PRODUCT_ADD(sum[i][v], a[i], right[v]);
    }
  }
  if (rows == CK_PRODUCT_ROWS && columns == CK_PRODUCT_WIDTH) {
#pragma clang loop unroll(full)
    for (int i = 0; i < CK_PRODUCT_ROWS; i++) {
#pragma clang loop unroll(full)
      for (int v = 0; v < CK_PRODUCT_VECTORS; v++) {
        float *place = c + (size_t)i * c_row + v * CK_PRODUCT_LANES;
        CK(pv) old;
        __builtin_memcpy(&old, place, sizeof old);
        old = alpha * sum[i][v] + old;
        __builtin_memcpy(place, &old, sizeof old);
      }
    }
    return;
  }
  float tile[CK_PRODUCT_ROWS * CK_PRODUCT_WIDTH] __attribute__((aligned(64)));
#pragma clang loop unroll(full)
  for (int i = 0; i < CK_PRODUCT_ROWS; i++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < CK_PRODUCT_VECTORS; v++)
      __builtin_memcpy(tile + i * CK_PRODUCT_WIDTH + v * CK_PRODUCT_LANES, &sum[i][v], sizeof sum[i][v]);
  }
  for (size_t i = 0; i < rows; i++) {
    for (size_t j = 0; j < columns; j++) c[i * c_row + j] = alpha * tile[i * CK_PRODUCT_WIDTH + j] + c[i * c_row + j];
  }
}

// out[k · width + r] = x[r · line + k · step] for r < width. Sixteen numbers of a line at a time, which is a whole cache line
// where step is 1.
CK_INLINE void CK(transpose_lines)(const float *x, size_t line, const size_t step, size_t inner, const size_t width,
                                   float *out) {
  size_t k = 0;
  for (; k + 16 <= inner; k += 16) {
    for (size_t r = 0; r < width; r++) {
#pragma clang loop unroll(full)
      for (size_t j = 0; j < 16; j++) out[(k + j) * width + r] = x[r * line + (k + j) * step];
    }
  }
  for (; k < inner; k++) {
    for (size_t r = 0; r < width; r++) out[k * width + r] = x[r * line + k * step];
  }
}

// Copies `count` lines of `inner` numbers into panels of `width` lines, line by line at each place; the last is filled up with
// zeros. Number k of line i is x[i · line + k · step].
CK_INLINE void CK(pack_panels)(const float *x, size_t line, size_t step, size_t count, size_t inner,
                               const size_t width, float *out) {
  for (size_t i = 0; i < count; i += width, out += width * inner) {
    const float *from = x + i * line;
    size_t k = 0;
    if (count - i < width) {
      for (; k < inner; k++) {
        for (size_t r = 0; r < width; r++) out[k * width + r] = r < count - i ? from[r * line + k * step] : 0;
      }
    } else if (line == 1) {
      for (; k < inner; k++) __builtin_memcpy(out + k * width, from + k * step, width * sizeof(float));
    } else if (step == 1) {
      CK(transpose_lines)(from, line, 1, inner, width, out);
    } else {
      CK(transpose_lines)(from, line, step, inner, width, out);
    }
  }
}

static void CK(add_product)(const ck_product *p, void *scratch) {
  const size_t tall = CK_PRODUCT_HEIGHT / CK_PRODUCT_ROWS * CK_PRODUCT_ROWS;
  float *right = scratch, *left = right + CK_PRODUCT_INNER * (CK_PRODUCT_BREADTH + CK_PRODUCT_WIDTH);
  for (size_t j = 0; j < p->columns; j += CK_PRODUCT_BREADTH) {
    const size_t wide = p->columns - j < CK_PRODUCT_BREADTH ? p->columns - j : CK_PRODUCT_BREADTH;
    for (size_t k = 0; k < p->inner; k += CK_PRODUCT_INNER) {
      const size_t deep = p->inner - k < CK_PRODUCT_INNER ? p->inner - k : CK_PRODUCT_INNER;
      CK(pack_panels)(p->b + j * p->b_column + k * p->b_row, p->b_column, p->b_row, wide, deep, CK_PRODUCT_WIDTH, right);
      for (size_t i = 0; i < p->rows; i += tall) {
        const size_t high = p->rows - i < tall ? p->rows - i : tall;
        CK(pack_panels)(p->a + i * p->a_row + k * p->a_column, p->a_row, p->a_column, high, deep, CK_PRODUCT_ROWS, left);
        for (size_t jr = 0; jr < wide; jr += CK_PRODUCT_WIDTH) {
          for (size_t ir = 0; ir < high; ir += CK_PRODUCT_ROWS) {
            CK(product_tile)(left + ir * deep, right + jr * deep, deep, p->alpha,
                             p->c + (i + ir) * p->c_row + j + jr, p->c_row,
                             high - ir < CK_PRODUCT_ROWS ? high - ir : CK_PRODUCT_ROWS,
                             wide - jr < CK_PRODUCT_WIDTH ? wide - jr : CK_PRODUCT_WIDTH);
          }
        }
      }
    }
  }
}
