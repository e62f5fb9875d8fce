// Attention of a tile of queries against the keys and values of one head. No include guard.

// scores[i · keys + j] = scale · q_i·k_j for `n` (a constant, at most 4) queries and from <= j < to.
CK_INLINE void CK(scores)(const ck_attention_tile *tile, const int n, const float *const *q, size_t from,
                          size_t to) {
  for (size_t j = from; j < to; j++) {
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

// out_i = Σ_j scores[i · keys + j] · v_j.
CK_INLINE void CK(weighted_sum)(const ck_attention_tile *tile, const int n, float *const *out, size_t from,
                                size_t to) {
  size_t c = 0;
  for (; c + 16 <= tile->size; c += 16) {
    CK(f16v) sum[4] = {{0}, {0}, {0}, {0}};
    for (size_t j = from; j < to; j++) {
      CK(f16v) v = CK(load)(tile->v + j * tile->kv_stride + c);
#pragma clang loop unroll(full)
      for (int i = 0; i < n; i++) sum[i] = v * tile->scratch[(size_t)i * tile->keys + j] + sum[i];
    }
    for (int i = 0; i < n; i++) CK(store)(out[i] + c, sum[i]);
  }
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
    CK(softmax)(scores + lower[i], upper[i] - lower[i]);
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
