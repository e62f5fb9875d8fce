// Searches for scales and codes. The same source is compiled for the baseline and, on x86-64, for AVX2 and AVX-512. A vector
// holds eight candidates, not eight weights: sums need no reduction, are taken in the order of the weights, and
// nothing is fused, so both give the same bytes.
#include "ck_encode.h"

#include "bodies/dispatch.h"
#include "bodies/iq4_nearest.h"
#include "ck_decode.h"

#pragma clang fp contract(off)
// Vectors are passed between inlined functions of this file only: no calling convention is at stake.
#pragma clang diagnostic ignored "-Wpsabi"

#define CK_INLINE static inline __attribute__((always_inline))

typedef float ck_v8 __attribute__((ext_vector_type(8)));
typedef int32_t ck_i8 __attribute__((ext_vector_type(8)));
// Where registers are that wide (CK_PAIRS), two times eight candidates at once: each lane does what it does alone.
typedef float ck_v16 __attribute__((ext_vector_type(16)));

// What a code stands for: low..high, or an entry of the iq4 table.
typedef struct {
  int is_table;
  float low, high;    // the extreme values, in units of the scale
  float start, step;  // the clippings to try: the peak lies at start + k·step times the extreme value
  int steps;          // a multiple of four
  float floor;        // without importance: weights floor·a² + x², or a + |x| when it is 0
} ck_grid;

// A block, scaled by a power of two so that its largest magnitude is in [1, 2).
typedef struct {
  float x[256] __attribute__((aligned(32)));
  float w[256] __attribute__((aligned(32)));
  float unit;  // the power of two
  int wide;    // the weights are importances: peaks may matter little, so they may be clipped far
} ck_block;

// Sums over a group for eight candidates y = s·q: the error, its slope and curvature in s.
typedef struct {
  ck_v8 ee, eq, qq;
} ck_line_sums;

// Sums over a group for eight candidates y = s·q + m.
typedef struct {
  ck_v8 ee, eq, e1, qq, q1;
  float w1;
} ck_affine_sums;

// Eight fits y = s·q + m with their errors.
typedef struct {
  ck_v8 s, m, error;
} ck_affine_fit;

// How many pairs of shared scales a super-block is tried with in full.
enum { CK_STARTS = 4 };

#define CK_PAIRS 0
#define NAME(x) scalar_##x
#include "bodies/fit_common.h"
#include "bodies/fit_line.h"
#include "bodies/fit_affine.h"
#undef NAME

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#define NAME(x) avx2_##x
#include "bodies/fit_common.h"
#include "bodies/fit_line.h"
#include "bodies/fit_affine.h"
#undef NAME
#pragma clang attribute pop
#undef CK_PAIRS
#define CK_PAIRS 1
#pragma clang attribute push(__attribute__((target("avx2,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#define NAME(x) avx512_##x
#include "bodies/fit_common.h"
#include "bodies/fit_line.h"
#include "bodies/fit_affine.h"
#undef NAME
#pragma clang attribute pop
#define DISPATCH(name, ...) \
  if (ck_uses_avx512()) avx512_##name(__VA_ARGS__); \
  else if (ck_uses_avx2()) avx2_##name(__VA_ARGS__); \
  else scalar_##name(__VA_ARGS__)
#else
#define DISPATCH(name, ...) scalar_##name(__VA_ARGS__)
#endif

void ck_fit_line(const float *x, const float *importance, int low, int high, uint8_t *codes, uint16_t *d) {
  ck_grid grid = {0, (float)low, (float)high, 0.86f, 0.035f, 16, 1.5f};
  if (high > 8) grid = (ck_grid){0, (float)low, (float)high, 0.92f, 0.02f, 16, 1.5f};
  DISPATCH(fit_line, x, importance, grid, codes, d);
}

void ck_fit_line_long(
  const float *x, const float *importance, size_t count, int low, int high, float *scratch, uint8_t *codes,
  uint16_t *d) {
  ck_grid grid = {0, (float)low, (float)high, 0.86f, 0.035f, 16, 1.5f};
  if (high > 16) grid = (ck_grid){0, (float)low, (float)high, 0.99f, 0.01f, 16, 1.5f};
  DISPATCH(fit_line_long, x, importance, count, grid, scratch, codes, d);
}

void ck_fit_table(const float *x, const float *importance, uint8_t *codes, uint16_t *d) {
  ck_grid grid = {1, -127, 113, 0.86f, 0.035f, 16, 1};
  DISPATCH(fit_line, x, importance, grid, codes, d);
}

void ck_fit_line_groups(
  const float *x, const float *importance, int group, int low, int high, int scale_top, uint8_t *codes,
  int8_t *scales, uint16_t *d) {
  ck_grid grid = {0, (float)low, (float)high, 0.95f, 0.01f, 12, 0};
  if (high < 8) grid = (ck_grid){0, (float)low, (float)high, 0.7f, 0.06f, 16, 1.5f};
  DISPATCH(fit_line_groups, x, importance, group, grid, scale_top, codes, scales, d);
}

void ck_fit_table_groups(
  const float *x, const float *importance, uint8_t *codes, int8_t *scales, uint16_t *d) {
  ck_grid grid = {1, -127, 113, 0.86f, 0.035f, 16, 0};
  DISPATCH(fit_line_groups, x, importance, 32, grid, 31, codes, scales, d);
}

void ck_fit_affine(
  const float *x, const float *importance, int high, uint8_t *codes, uint16_t *d, uint16_t *m) {
  DISPATCH(fit_affine, x, importance, high, codes, d, m);
}

void ck_fit_affine_groups(
  const float *x, const float *importance, int group, int high, int scale_top, uint8_t *codes,
  uint8_t *scales, uint8_t *minimums, uint16_t *d, uint16_t *dmin) {
  DISPATCH(
    fit_affine_groups, x, importance, group, high, scale_top, codes, scales, minimums, d, dmin);
}

void ck_fit_q8_0(const float *x, int8_t *codes, uint16_t *d) {
  DISPATCH(fit_q8_0, x, codes, d);
}

void ck_encode_f16(const float *x, void *bytes, size_t count) {
  DISPATCH(encode_f16, x, bytes, count);
}

void ck_encode_bf16(const float *x, void *bytes, size_t count) {
  DISPATCH(encode_bf16, x, bytes, count);
}
