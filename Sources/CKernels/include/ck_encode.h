#pragma once
// Floats to stored weights: the searches for the scales and codes of a block. Packing is the caller's.
#include <stddef.h>
#include <stdint.h>

// Every fit minimises Σ w·(x − y)², y being what a reader decodes: scales are rounded as they are stored before
// codes are chosen. The weights w are, per column,
//   without importance:  a + |x|, a the root mean square of the group, for groups that share a scale of many
//                        bits; 1.5·a² + x² for single blocks of 32 and for codes below 8 (a² + x² for a
//                        block on the table), where peaks would otherwise be clipped too hard;
//   with importance:     importance·√(2·mean x² + x²), the mean over the whole block.
// A block whose importance is zero everywhere is treated as if there were none.
//
// x holds finite numbers. A block's scale that is too large for half precision is stored as ±65504, so huge
// weights saturate; one too small gives zeros. Results do not depend on the instruction set or on threads.

// One block of 32: y = d·(code + low), low ≤ value ≤ high. Codes are written from 0.
void ck_fit_line(const float *x, const float *importance, int low, int high, uint8_t *codes, uint16_t *d);

// A group or a whole row of `count` weights, any number below 2³¹: y = d·(code + low). Weights as for a block of 32;
// `scratch` holds 2·(count rounded up to a multiple of 8) floats.
void ck_fit_line_long(
  const float *x, const float *importance, size_t count, int low, int high, float *scratch, uint8_t *codes,
  uint16_t *d);

// One block of 32: y = d·T[code], T = ck_iq4_values.
void ck_fit_table(const float *x, const float *importance, uint8_t *codes, uint16_t *d);

// One block of 32: y = d·code + m, 0 ≤ code ≤ high.
void ck_fit_affine(
  const float *x, const float *importance, int high, uint8_t *codes, uint16_t *d, uint16_t *m);

// 256 weights in groups of `group` (16 or 32): y = d·scale·(code + low), −scale_top − 1 ≤ scale ≤ scale_top.
void ck_fit_line_groups(
  const float *x, const float *importance, int group, int low, int high, int scale_top, uint8_t *codes,
  int8_t *scales, uint16_t *d);

// 256 weights in groups of 32: y = d·scale·T[code], −32 ≤ scale ≤ 31.
void ck_fit_table_groups(
  const float *x, const float *importance, uint8_t *codes, int8_t *scales, uint16_t *d);

// 256 weights in groups of `group` (16 or 32): y = d·scale·code − dmin·minimum, scale and minimum 0..scale_top.
void ck_fit_affine_groups(
  const float *x, const float *importance, int group, int high, int scale_top, uint8_t *codes,
  uint8_t *scales, uint8_t *minimums, uint16_t *d, uint16_t *dmin);

// One block of 32 by the definition: d = max|x| / 127, codes = round(x / d), halves away from zero. The codes
// use the unrounded d, as ggml's do; a d beyond half precision is stored as 65504 and the codes use that.
void ck_fit_q8_0(const float *x, int8_t *codes, uint16_t *d);

// `count` halves, to nearest even; finite numbers beyond the range become ±65504.
void ck_encode_f16(const float *x, void *bytes, size_t count);

// `count` bfloat16 numbers, to nearest even; NaNs become quiet.
void ck_encode_bf16(const float *x, void *bytes, size_t count);

// Single precision to half, to nearest even; finite numbers beyond the range become ±65504.
static inline uint16_t ck_float_to_half(float value) {
  uint32_t bits, sign, small;
  __builtin_memcpy(&bits, &value, 4);
  sign = bits & 0x80000000u;
  bits ^= sign;
  float magnitude, shifted;
  __builtin_memcpy(&magnitude, &bits, 4);
  shifted = magnitude + 0.5f;  // a subnormal half's unit is the last place of numbers near 0.5
  __builtin_memcpy(&small, &shifted, 4);
  uint32_t normal = (bits - 0x38000000u + 0xfff + ((bits >> 13) & 1)) >> 13;
  uint32_t half = bits < 0x38800000u ? small - 0x3f000000u : normal;
  half = bits >= 0x477ff000u ? 0x7bff : half;
  half = bits >= 0x7f800000u ? 0x7c00 : half;
  half = bits > 0x7f800000u ? 0x7e00 | ((bits >> 13) & 0x3ff) : half;
  return (uint16_t)(half | sign >> 16);
}
