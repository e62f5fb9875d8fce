#pragma once
// What training does besides products: gradients of what lies between them, and the optimizer's step.
#include <stddef.h>

// Back through silu(gate) · up: both are replaced by the gradients by them, `gradient` being that by the result.
void ck_silu_back(float *gate, float *up, const float *gradient, size_t count);

// Back through out = x · inverse · weight, where inverse = 1 / √(mean(x²) + ε): `gradient` by the outputs is replaced by that by
// x.
void ck_rms_norm_back(const float *x, const float *weight, float inverse, float *gradient, size_t count);

// sum += a · x · y.
void ck_add_scaled_product(float a, const float *x, const float *y, float *sum, size_t count);

// Back through softmax: with p its result and d the gradient by it, d is replaced by p · (d − Σ p · d).
void ck_softmax_back(const float *p, float *d, size_t count);

// One step of AdamW.
typedef struct {
  float rate;           // what the step is multiplied by
  float decay;          // the part of a weight that goes: learning rate · decay
  float first, second;  // what is kept of the moments
  float first_scale, second_scale;  // 1 / (1 − first^t), 1 / (1 − second^t)
  float epsilon;
  float gradient_scale;  // what gradients are multiplied by first
  int keeps_zeros;       // whether weights that are zero stay so
} ck_adamw_step;

// m = first · m + (1 − first) · g; v = second · v + (1 − second) · g²; w −= decay · w + rate · m̂ / (√v̂ + ε).
void ck_adamw(const ck_adamw_step *step, float *weights, const float *gradients, float *first, float *second, size_t count);
