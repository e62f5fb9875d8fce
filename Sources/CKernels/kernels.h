#pragma once
// What one instruction set provides: the table that Kernels.c dispatches through.
#include "include/CKernels.h"
#include <math.h>

// How large a format's codes are: below 16, below 32, below 64, or int8. It decides how many products fit
// into 16 bits.
enum { CK_KIND_4, CK_KIND_5, CK_KIND_6, CK_KIND_WIDE };

typedef struct {
  const char *name;
  void (*quantize_activations)(const float *, size_t, void *);
  float (*quantize_token)(const float *, size_t, void *);
  void (*multiply_rows)(int, const void *, size_t, size_t, size_t, const void *, size_t, float *, size_t);
  void (*multiply_tile)(
    int, const void *, size_t, size_t, size_t, const void *, size_t, float *, size_t, void *);
  void (*multiply_float_rows)(
    int, const void *, size_t, size_t, size_t, int, const void *, size_t, float *, size_t, float *);
  void (*add_product)(const ck_product *, void *);
  float (*dot)(const float *, const float *, size_t);
  double (*dot_wide)(const float *, const float *, size_t);
  void (*add)(const float *, float *, size_t);
  void (*add_scaled)(float, const float *, float *, size_t);
  void (*scale)(float, float *, size_t);
  void (*multiply)(const float *, float *, size_t);
  float (*absolute_maximum)(const float *, size_t);
  int (*all_finite)(const float *, size_t);
  size_t (*argmax)(const float *, size_t);
  double (*log_sum_exp)(const float *, size_t);
  double (*log_divergence)(const float *, double, const float *, double, size_t);
  void (*rms_norm)(const float *, const float *, float, float *, size_t);
  void (*layer_norm)(const float *, const float *, const float *, float, float *, size_t);
  void (*softmax)(float *, size_t);
  void (*silu_multiply)(float *, const float *, size_t);
  void (*gelu_tanh_multiply)(float *, const float *, size_t);
  void (*gelu)(float *, size_t);
  void (*gelu_tanh)(float *, size_t);
  void (*tanh)(float *, size_t);
  void (*relu)(float *, size_t);
  void (*rotate_halves)(float *, const float *, const float *, size_t);
  void (*rotate_pairs)(float *, const float *, const float *, size_t);
  void (*encode_floats)(int, const float *, void *, size_t);
  void (*attention)(const ck_attention_tile *);
  void (*round_block)(const ck_feedback *);
  size_t (*descend_block)(const ck_feedback *);
  void (*silu_back)(float *, float *, const float *, size_t);
  void (*rms_norm_back)(const float *, const float *, float, float *, size_t);
  void (*add_scaled_product)(float, const float *, const float *, float *, size_t);
  void (*softmax_back)(const float *, float *, size_t);
  void (*adamw)(const ck_adamw_step *, float *, const float *, float *, float *, size_t);
  // NULL where the scalar twins in sparse.c or those of another instruction set serve.
  void (*multiply_half_rows)(const void *, size_t, size_t, const void *, size_t, float *, size_t);
  void (*expand_half_row)(const void *, size_t, void *);
} ck_kernels;

extern const ck_kernels ck_kernels_scalar;
// The table in use.
const ck_kernels *ck_chosen_kernels(void);
#if defined(__x86_64__) || defined(CK_SIMDE)
extern const ck_kernels ck_kernels_avx2, ck_kernels_avxvnni, ck_kernels_avx512;
#endif
#if defined(__aarch64__) || defined(CK_SIMDE)
extern const ck_kernels ck_kernels_neon;
#endif

// How much of the second-level cache unpacked tiles may take.
#define CK_TILE_CACHE (128 * 1024)

// Blocks of float products: the depth that is summed at a time, and rows and columns whose panels are packed together. Packed
// they take a quarter of a second-level cache, and a place beyond it.
enum { CK_PRODUCT_INNER = 256, CK_PRODUCT_HEIGHT = 168, CK_PRODUCT_BREADTH = 1024, CK_PRODUCT_MOST = 64 };

// The record of one token's activations, for n = columns / 32 blocks: int8 codes[32n], float d[n], float sums of each
// 32 codes times d [n], the same of each 16 codes [2n], and the sums of codes themselves: int32 [n] and [2n].
static inline size_t ck_record_bytes(size_t columns) { return (columns / 32 * 60 + 63) & ~(size_t)63; }
