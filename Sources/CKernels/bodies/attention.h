// Attention of a tile of queries against the keys and values of one head. No include guard.

// Keys that meet four queries at once, and vectors of values: as many as there are registers for.
enum { CK(keys_at_once) = CK_LANES == 16 ? 4 : 1, CK(values_at_once) = CK_LANES == 16 ? 4 : 1 };

// Lane i: CK(sum16)(v[i]), added in its order.
CK_INLINE CK(f16v) CK(sums_16)(CK(f16v) *v) {
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i++) {
    v[i] = __builtin_shufflevector(v[i], v[i + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
           + __builtin_shufflevector(v[i], v[i + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) {
    v[i] = __builtin_shufflevector(v[i], v[i + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
           + __builtin_shufflevector(v[i], v[i + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 2; i++) {
    v[i] = __builtin_shufflevector(v[i], v[i + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
           + __builtin_shufflevector(v[i], v[i + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  }
  return __builtin_shufflevector(v[0], v[1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
         + __builtin_shufflevector(v[0], v[1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
}

// scores[i · keys + j] = scale · q_i·k_j for four queries and four keys from j on; heads of whole vectors.
CK_INLINE void CK(scores_4)(const ck_attention_tile *tile, const float *const *q, size_t j) {
  const float *key = tile->k + j * tile->kv_stride;
  CK(f16v) sums[16];
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i++) sums[i] = (CK(f16v)){0};
  for (size_t c = 0; c < tile->size; c += 16) {
    CK(f16v) k[4];
#pragma clang loop unroll(full)
    for (int l = 0; l < 4; l++) k[l] = CK(load)(key + (size_t)l * tile->kv_stride + c);
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
      CK(f16v) x = CK(load)(q[i] + c);
#pragma clang loop unroll(full)
      for (int l = 0; l < 4; l++) sums[4 * i + l] = x * k[l] + sums[4 * i + l];
    }
  }
  CK(f16v) all = CK(sums_16)(sums) * tile->scale;
  for (int i = 0; i < 4; i++) __builtin_memcpy(tile->scratch + (size_t)i * tile->keys + j, (float *)&all + 4 * i, 16);
}

// scores[i · keys + j] = scale · q_i·k_j for `n` (a constant, at most 4) queries and from <= j < to.
CK_INLINE void CK(scores)(const ck_attention_tile *tile, const int n, const float *const *q, size_t from,
                          size_t to) {
  size_t j = from;
  if (n == 4 && CK(keys_at_once) == 4 && tile->size % 16 == 0) {
    for (; j + 4 <= to; j += 4) CK(scores_4)(tile, q, j);
  }
  for (; j < to; j++) {
    const float *key = tile->k + j * tile->kv_stride;
    CK(f16v) sum[4] = {{0}, {0}, {0}, {0}};
    size_t c = 0;
    for (; c + 16 <= tile->size; c += 16) {
      CK(f16v) k = CK(load)(key + c);
#pragma clang loop unroll(full)
      for (int i = 0; i < n; i++) sum[i] = CK(load)(q[i] + c) * k + sum[i];
    }
    for (int i = 0; i < n; i++) {
      float rest = 0;
      for (size_t l = c; l < tile->size; l++) rest = q[i][l] * key[l] + rest;
      tile->scratch[(size_t)i * tile->keys + j] = tile->scale * (CK(sum16)(sum[i]) + rest);
    }
  }
}

// `vectors` (a constant) times 16 elements of the results, from element c on.
CK_INLINE void CK(weighted_part)(const ck_attention_tile *tile, const int n, const int vectors, float *const *out,
                                 size_t from, size_t to, size_t c) {
  CK(f16v) sum[4][4];
#pragma clang loop unroll(full)
  for (int i = 0; i < n; i++) {
#pragma clang loop unroll(full)
    for (int l = 0; l < vectors; l++) sum[i][l] = (CK(f16v)){0};
  }
  for (size_t j = from; j < to; j++) {
    const float *value = tile->v + j * tile->kv_stride + c;
    CK(f16v) v[4];
#pragma clang loop unroll(full)
    for (int l = 0; l < vectors; l++) v[l] = CK(load)(value + 16 * l);
#pragma clang loop unroll(full)
    for (int i = 0; i < n; i++) {
      float weight = tile->scratch[(size_t)i * tile->keys + j];
#pragma clang loop unroll(full)
      for (int l = 0; l < vectors; l++) sum[i][l] = v[l] * weight + sum[i][l];
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < n; i++) {
#pragma clang loop unroll(full)
    for (int l = 0; l < vectors; l++) CK(store)(out[i] + c + 16 * l, sum[i][l]);
  }
}

// out_i = Σ_j scores[i · keys + j] · v_j.
CK_INLINE void CK(weighted_sum)(const ck_attention_tile *tile, const int n, float *const *out, size_t from,
                                size_t to) {
  const size_t wide = 16 * CK(values_at_once);
  size_t c = 0;
  if (wide > 16) {
    for (; c + wide <= tile->size; c += wide) {
      CK(weighted_part)(tile, n, CK(values_at_once), out, from, to, c);
    }
  }
  for (; c + 16 <= tile->size; c += 16) CK(weighted_part)(tile, n, 1, out, from, to, c);
  for (; c < tile->size; c++) {
    for (int i = 0; i < n; i++) {
      float sum = 0;
      for (size_t j = from; j < to; j++) {
        sum = tile->scratch[(size_t)i * tile->keys + j] * tile->v[j * tile->kv_stride + c] + sum;
      }
      out[i][c] = sum;
    }
  }
}

CK_INLINE void CK(attend)(const ck_attention_tile *tile, const int n, size_t query) {
  const float *q[4];
  float *out[4];
  size_t lower[4], upper[4], from = tile->keys, to = 0;
  for (int i = 0; i < n; i++) {
    size_t row = (query + (size_t)i) / tile->group, head = (query + (size_t)i) % tile->group;
    q[i] = tile->q + row * tile->q_stride + head * tile->size;
    out[i] = tile->out + row * tile->out_stride + head * tile->size;
    size_t end = tile->first + row + 1;
    upper[i] = tile->causal && end < tile->keys ? end : tile->keys;
    lower[i] = tile->causal && tile->window && end > tile->window ? end - tile->window : 0;
    if (lower[i] > upper[i]) lower[i] = upper[i];
    from = lower[i] < from ? lower[i] : from;
    to = upper[i] > to ? upper[i] : to;
  }
  CK(scores)(tile, n, q, from, to);
  for (int i = 0; i < n; i++) {
    float *scores = tile->scratch + (size_t)i * tile->keys;
    float log = CK(softmax_log)(scores + lower[i], upper[i] - lower[i]);
    if (tile->logs) tile->logs[query + (size_t)i] = log;
    for (size_t j = from; j < lower[i]; j++) scores[j] = 0;
    for (size_t j = upper[i]; j < to; j++) scores[j] = 0;
  }
  CK(weighted_sum)(tile, n, out, from, to);
}

static void CK(attention)(const ck_attention_tile *tile) {
  size_t query = 0;
  for (; query + 4 <= tile->queries; query += 4) CK(attend)(tile, 4, query);
  for (; query + 2 <= tile->queries; query += 2) CK(attend)(tile, 2, query);
  for (; query < tile->queries; query++) CK(attend)(tile, 1, query);
}
