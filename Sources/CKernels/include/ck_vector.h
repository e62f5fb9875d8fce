#pragma once
// Operations on vectors of floats: norms, activations, conversions, attention. Any count, any alignment of
// float; outputs may be the input itself where a comment says "in place", and overlap nothing else.
#include <stddef.h>
#include <stdint.h>

// Σ x·y.
float ck_dot(const float *x, const float *y, size_t count);
// Σ x·y with products and sums in double precision.
double ck_dot_wide(const float *x, const float *y, size_t count);
// y += x.
void ck_add(const float *x, float *y, size_t count);
// y += a·x.
void ck_add_scaled(float a, const float *x, float *y, size_t count);
// x *= a.
void ck_scale(float a, float *x, size_t count);
// y *= x.
void ck_multiply(const float *x, float *y, size_t count);

// max |x|, 0 for none; NaN if any x is NaN.
float ck_absolute_maximum(const float *x, size_t count);
// 1 when no x is NaN or infinite.
int ck_all_finite(const float *x, size_t count);
// The first index of the largest x; NaN never wins. 0 for none.
size_t ck_argmax(const float *x, size_t count);
// log Σ exp x in double precision; −∞ for none.
double ck_log_sum_exp(const float *x, size_t count);
// KL divergence Σ p·(log p − log q) in double precision, with log p = x − x_log and log q = y − y_log, where
// x_log and y_log are ck_log_sum_exp of x and y. Exactly 0 for equal x and y. All values are finite.
double ck_log_divergence(const float *x, double x_log, const float *y, double y_log, size_t count);

// out = x / sqrt(mean(x²) + epsilon) · weight; out may be x.
void ck_rms_norm(const float *x, const float *weight, float epsilon, float *out, size_t count);
// out = (x − mean) / sqrt(variance + epsilon) · weight + bias; out may be x; bias may be null.
void ck_layer_norm(const float *x, const float *weight, const float *bias, float epsilon, float *out,
                   size_t count);
// x = exp(x − max) / Σ, in place. All −∞ gives zeros.
void ck_softmax(float *x, size_t count);

// gate = gate / (1 + exp(−gate)) · up, in place.
void ck_silu_multiply(float *gate, const float *up, size_t count);
// gate = gelu(gate) · up with the tanh form, in place.
void ck_gelu_tanh_multiply(float *gate, const float *up, size_t count);
// x = x · Φ(x), in place.
void ck_gelu(float *x, size_t count);
// x = x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³))), in place.
void ck_gelu_tanh(float *x, size_t count);
// x = tanh x, in place.
void ck_tanh(float *x, size_t count);
// x = max(x, 0), in place.
void ck_relu(float *x, size_t count);

// Rotates pairs (x[i], x[i + half]) by the angle whose cosine and sine are given, i < half, in place.
void ck_rotate_halves(float *x, const float *cosine, const float *sine, size_t half);
// Rotates pairs (x[2i], x[2i + 1]).
void ck_rotate_pairs(float *x, const float *cosine, const float *sine, size_t half);

// Floats to a float format (CK_F64 … CK_F8_E5M2), to nearest even. NaN stays NaN; what is too large becomes
// infinite, or in CK_F8_E4M3, which has no infinity, NaN.
void ck_encode_floats(int format, const float *x, void *bytes, size_t count);

// Attention of a tile of queries of one key/value head. Query i (of `queries`) stands at position
// p = first + i / group and sees the keys in (p − window, p] when causal, otherwise all keys.
typedef struct {
  const float *q;      // query i at q + (i / group) · q_stride + (i % group) · size
  const float *k, *v;  // key j at k + j · kv_stride
  float *out;          // result i at out + (i / group) · out_stride + (i % group) · size
  size_t q_stride, kv_stride, out_stride;
  size_t queries, group, keys, size;  // `size` is the length of a head
  size_t first;                       // position of query 0
  size_t window;                      // 0: no window
  int causal;
  float scale;     // of the scores, usually 1/√size
  float *scratch;  // 4 · keys floats
  float *logs;     // log Σ exp of each query's scores, or null
} ck_attention_tile;
void ck_attention(const ck_attention_tile *tile);
