// Chooses the instruction set once, and passes every call on to it.
#include "kernels.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

static int has_avx2(void) {
#if defined(CK_SIMDE)
  return 1;
#elif defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
#else
  return 0;
#endif
}

static int has_avxvnni(void) {
#if defined(CK_SIMDE)
  return 1;
#elif defined(__x86_64__)
  return has_avx2() && __builtin_cpu_supports("avxvnni");
#else
  return 0;
#endif
}

static int has_avx512(void) {
#if defined(CK_SIMDE)
  return 1;
#elif defined(__x86_64__)
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
         && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
         && __builtin_cpu_supports("avx512vnni");
#else
  return 0;
#endif
}

static int has_neon_dot(void) {
#if defined(CK_SIMDE)
  return 1;
#elif defined(__aarch64__) && defined(__APPLE__)
  return 1;
#elif defined(__aarch64__) && defined(__linux__)
  return (getauxval(AT_HWCAP) >> 20) & 1;  // HWCAP_ASIMDDP
#else
  return 0;
#endif
}

static const ck_kernels *find(const char *name) {
  if (!strcmp(name, "scalar")) return &ck_kernels_scalar;
#if defined(__x86_64__) || defined(CK_SIMDE)
  if (!strcmp(name, "avx2") && has_avx2()) return &ck_kernels_avx2;
  if (!strcmp(name, "avxvnni") && has_avxvnni()) return &ck_kernels_avxvnni;
  if (!strncmp(name, "avx512", 6) && has_avx512()) return &ck_kernels_avx512;
#endif
#if defined(__aarch64__) || defined(CK_SIMDE)
  if (!strcmp(name, "neon") && has_neon_dot()) return &ck_kernels_neon;
#endif
  return NULL;
}

static const ck_kernels *best(void) {
  const char *wish = getenv("COMPRESS_ISA");
  const ck_kernels *found = wish ? find(wish) : NULL;
  if (found) return found;
  if (has_avx512() && (found = find("avx512"))) return found;
  if (has_avxvnni() && (found = find("avxvnni"))) return found;
  if (has_avx2() && (found = find("avx2"))) return found;
  if (has_neon_dot() && (found = find("neon"))) return found;
  return &ck_kernels_scalar;
}

static _Atomic(const ck_kernels *) chosen;
static _Thread_local const ck_kernels *chosen_here;

static inline const ck_kernels *table(void) {
  if (__builtin_expect(chosen_here != NULL, 0)) return chosen_here;
  const ck_kernels *current = atomic_load_explicit(&chosen, memory_order_acquire);
  if (__builtin_expect(current != NULL, 1)) return current;
  current = best();
  atomic_store_explicit(&chosen, current, memory_order_release);
  return current;
}

const ck_kernels *ck_chosen_kernels(void) { return table(); }

const char *ck_instruction_set(void) { return table()->name; }

int ck_select_instruction_set(const char *name) {
  const ck_kernels *found = name ? find(name) : NULL;
  if (found || !name) chosen_here = found;
  return found || !name;
}

size_t ck_activation_bytes(size_t columns) { return ck_record_bytes(columns); }

void ck_quantize_activations(const float *x, size_t columns, void *record) {
  table()->quantize_activations(x, columns, record);
}

float ck_quantize_token(const float *x, size_t columns, void *record) {
  return table()->quantize_token(x, columns, record);
}

void ck_multiply_rows(int format, const void *rows, size_t row_bytes, size_t row_count, size_t columns,
                      const void *records, size_t tokens, float *y, size_t y_stride) {
  table()->multiply_rows(format, rows, row_bytes, row_count, columns, records, tokens, y, y_stride);
}

// The largest tiles are two of 16 rows: codes, scales and offsets. Bodies with smaller tiles unpack several.
size_t ck_tile_scratch_bytes(size_t columns) {
  size_t tiles = 2 * (columns * 16 + 2 * (columns / 16) * 16 * sizeof(float));
  return tiles < CK_TILE_CACHE ? CK_TILE_CACHE : tiles;
}

int ck_multiplies_bf16(void) {
#if defined(__x86_64__) && !defined(CK_SIMDE)
  return table() == &ck_kernels_avx512 && __builtin_cpu_supports("avx512bf16");
#else
  return 0;
#endif
}

void ck_multiply_tile(int format, const void *rows, size_t row_bytes, size_t row_count, size_t columns,
                      const void *records, size_t tokens, float *y, size_t y_stride, void *scratch) {
  table()->multiply_tile(format, rows, row_bytes, row_count, columns, records, tokens, y, y_stride, scratch);
}

void ck_multiply_float_rows(int format, const void *rows, size_t row_bytes, size_t row_count, size_t columns,
                            int x_format, const void *x, size_t tokens, float *y, size_t y_stride, float *scratch) {
  table()->multiply_float_rows(format, rows, row_bytes, row_count, columns, x_format, x, tokens, y, y_stride, scratch);
}

float ck_halve_activations(const float *x, size_t columns, void *halves) {
  const ck_kernels *kernels = table();
  const float most = kernels->absolute_maximum(x, columns);
  int exponent = 15;  // not finite, or zero: as they are
  if (most > 0 && most < INFINITY) (void)frexpf(most, &exponent);
  const int shift = 15 - exponent < 126 ? 15 - exponent : 126;
  const float power = ldexpf(1, shift);
  float part[256];
  for (size_t at = 0; at < columns; at += 256) {
    const size_t count = columns - at < 256 ? columns - at : 256;
    memcpy(part, x + at, count * sizeof(float));
    kernels->scale(power, part, count);
    kernels->encode_floats(CK_F16, part, (uint8_t *)halves + 2 * at, count);
  }
  return ldexpf(1, -shift);
}

// Panels are rounded up to whole tiles, which are at most CK_PRODUCT_MOST wide.
size_t ck_product_scratch_bytes(void) {
  return (size_t)CK_PRODUCT_INNER * (CK_PRODUCT_BREADTH + CK_PRODUCT_HEIGHT + 2 * CK_PRODUCT_MOST) * sizeof(float);
}

void ck_add_product(const ck_product *product, void *scratch) { table()->add_product(product, scratch); }

void ck_round_block(const ck_feedback *block) { table()->round_block(block); }
size_t ck_descend_block(const ck_feedback *block) { return table()->descend_block(block); }

float ck_dot(const float *x, const float *y, size_t count) { return table()->dot(x, y, count); }
double ck_dot_wide(const float *x, const float *y, size_t count) { return table()->dot_wide(x, y, count); }
void ck_add(const float *x, float *y, size_t count) { table()->add(x, y, count); }
void ck_add_scaled(float a, const float *x, float *y, size_t count) { table()->add_scaled(a, x, y, count); }
void ck_scale(float a, float *x, size_t count) { table()->scale(a, x, count); }
void ck_multiply(const float *x, float *y, size_t count) { table()->multiply(x, y, count); }
float ck_absolute_maximum(const float *x, size_t count) { return table()->absolute_maximum(x, count); }
int ck_all_finite(const float *x, size_t count) { return table()->all_finite(x, count); }
size_t ck_argmax(const float *x, size_t count) { return table()->argmax(x, count); }
double ck_log_sum_exp(const float *x, size_t count) { return table()->log_sum_exp(x, count); }
double ck_log_divergence(const float *x, double x_log, const float *y, double y_log, size_t count) {
  return table()->log_divergence(x, x_log, y, y_log, count);
}

void ck_rms_norm(const float *x, const float *weight, float epsilon, float *out, size_t count) {
  table()->rms_norm(x, weight, epsilon, out, count);
}

void ck_layer_norm(const float *x, const float *weight, const float *bias, float epsilon, float *out,
                   size_t count) {
  table()->layer_norm(x, weight, bias, epsilon, out, count);
}

void ck_softmax(float *x, size_t count) { table()->softmax(x, count); }
void ck_silu_multiply(float *gate, const float *up, size_t count) { table()->silu_multiply(gate, up, count); }
void ck_gelu_tanh_multiply(float *gate, const float *up, size_t count) {
  table()->gelu_tanh_multiply(gate, up, count);
}
void ck_gelu(float *x, size_t count) { table()->gelu(x, count); }
void ck_gelu_tanh(float *x, size_t count) { table()->gelu_tanh(x, count); }
void ck_tanh(float *x, size_t count) { table()->tanh(x, count); }
void ck_relu(float *x, size_t count) { table()->relu(x, count); }

void ck_rotate_halves(float *x, const float *cosine, const float *sine, size_t half) {
  table()->rotate_halves(x, cosine, sine, half);
}

void ck_rotate_pairs(float *x, const float *cosine, const float *sine, size_t half) {
  table()->rotate_pairs(x, cosine, sine, half);
}

void ck_encode_floats(int format, const float *x, void *bytes, size_t count) {
  table()->encode_floats(format, x, bytes, count);
}

void ck_attention(const ck_attention_tile *tile) { table()->attention(tile); }

void ck_silu_back(float *gate, float *up, const float *gradient, size_t count) {
  table()->silu_back(gate, up, gradient, count);
}

void ck_rms_norm_back(const float *x, const float *weight, float inverse, float *gradient, size_t count) {
  table()->rms_norm_back(x, weight, inverse, gradient, count);
}

void ck_add_scaled_product(float a, const float *x, const float *y, float *sum, size_t count) {
  table()->add_scaled_product(a, x, y, sum, count);
}

void ck_softmax_back(const float *p, float *d, size_t count) { table()->softmax_back(p, d, count); }

void ck_adamw(const ck_adamw_step *step, float *weights, const float *gradients, float *first, float *second,
              size_t count) {
  table()->adamw(step, weights, gradients, first, second, count);
}
