// Compares the instruction-set bodies with the scalar twin, on processors that lack them: the intrinsics are
// SIMDe's, in portable C. Run by check.sh; exits with 1 on the first disagreement.
#include "../../Sources/CKernels/include/ck_hash.h"
#include "../../Sources/CKernels/include/ck_round.h"
#include "../../Sources/CKernels/kernels.h"
#include "../../Sources/CKernels/sparse.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 0x9e3779b97f4a7c15;
static int failures, comparisons;

static uint32_t bits(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 16);
}

static float number(void) {
  float value = ((float)(bits() & 0xffff) / 65536 - 0.5f) * 2;
  return bits() % 50 == 0 ? value * 20 : value;
}

static void fill(float *x, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] = number();
}

static void expect_close(const char *set, const char *what, const float *a, const float *b, size_t count,
                         double tolerance, double size) {
  comparisons++;
  // The largest result, or `size`, stands for the size of what was summed.
  for (size_t i = 0; i < count; i++) size = fabs((double)b[i]) > size ? fabs((double)b[i]) : size;
  for (size_t i = 0; i < count; i++) {
    if (!(fabs((double)a[i] - (double)b[i]) <= tolerance * size)) {
      printf("%s: %s differs at %zu: %.9g, scalar %.9g\n", set, what, i, (double)a[i], (double)b[i]);
      failures++;
      return;
    }
  }
}

static const struct { int format; const char *name; size_t block, bytes; int halves[2]; } formats[] = {
  {CK_Q4_0, "q4_0", 32, 18, {0, 0}},      {CK_Q4_1, "q4_1", 32, 20, {0, 2}},
  {CK_Q5_0, "q5_0", 32, 22, {0, 0}},      {CK_Q5_1, "q5_1", 32, 24, {0, 2}},
  {CK_Q8_0, "q8_0", 32, 34, {0, 0}},      {CK_Q2_K, "q2_k", 256, 84, {80, 82}},
  {CK_Q3_K, "q3_k", 256, 110, {108, 108}}, {CK_Q4_K, "q4_k", 256, 144, {0, 2}},
  {CK_Q5_K, "q5_k", 256, 176, {0, 2}},    {CK_Q6_K, "q6_k", 256, 210, {208, 208}},
  {CK_IQ4_NL, "iq4_nl", 32, 18, {0, 0}},  {CK_IQ4_XS, "iq4_xs", 256, 136, {0, 0}},
};

// Rows that are multiplied a few at a time have the same products, bit for bit, as all at once.
static void compare_cuts(const ck_kernels *set, int format, const uint8_t *stored, size_t row_bytes, size_t rows,
                         size_t columns, const void *records, size_t tokens, const float *whole) {
  static const size_t heights[] = {1, 8, 3, 9, 2, 7};
  float *cut = malloc(4 * tokens * rows);
  for (size_t r = 0, turn = 0; r < rows; turn++) {
    size_t height = heights[turn % 6] < rows - r ? heights[turn % 6] : rows - r;
    set->multiply_rows(format, stored + r * row_bytes, row_bytes, height, columns, records, tokens, cut + r, rows);
    r += height;
  }
  comparisons++;
  if (memcmp(cut, whole, 4 * tokens * rows)) {
    printf("%s: products of format %d depend on how rows are cut\n", set->name, format);
    failures++;
  }
  free(cut);
}

// `rest`: columns behind 512.
static void compare_products(const ck_kernels *set, size_t which, size_t rows, size_t tokens, int filler, size_t rest) {
  const ck_kernels *twin = &ck_kernels_scalar;
  const size_t columns = 512 + rest, row_bytes = columns / formats[which].block * formats[which].bytes;
  uint8_t *stored = malloc(rows * row_bytes);
  for (size_t i = 0; i < rows * row_bytes; i++) stored[i] = filler < 0 ? (uint8_t)bits() : (uint8_t)filler;
  for (size_t at = 0; at < rows * row_bytes; at += formats[which].bytes) {
    for (int h = 0; h < 2; h++) {
      uint16_t half = (uint16_t)(0x2400 + bits() % 0x800);  // 1/64 to 1/16
      memcpy(stored + at + formats[which].halves[h], &half, 2);
    }
  }
  float *x = malloc(4 * tokens * columns), *y = malloc(4 * tokens * rows), *z = malloc(4 * tokens * rows);
  fill(x, tokens * columns);
  if (filler >= 0) {
    for (size_t i = 0; i < tokens * columns; i++) x[i] = x[i] < 0 ? -1 : 1;
  }
  const size_t record = ck_record_bytes(columns);
  uint8_t *records = aligned_alloc(64, tokens * record), *again = aligned_alloc(64, tokens * record);
  memset(records, 0, tokens * record);
  memset(again, 0, tokens * record);
  for (size_t t = 0; t < tokens; t++) {
    set->quantize_activations(x + t * columns, columns, records + t * record);
    twin->quantize_activations(x + t * columns, columns, again + t * record);
  }
  comparisons++;
  if (memcmp(records, again, tokens * record)) {
    printf("%s: quantized activations differ\n", set->name);
    failures++;
  }
  for (size_t t = 0; t < tokens; t++) {
    // One scale a token; the records of the comparison below are those of blocks.
    uint8_t *a = aligned_alloc(64, record), *b = aligned_alloc(64, record);
    memset(a, 0, record), memset(b, 0, record);
    float p = set->quantize_token(x + t * columns, columns, a);
    float q = twin->quantize_token(x + t * columns, columns, b);
    comparisons++;
    if (p != q || memcmp(a, b, record)) {
      printf("%s: activations quantized for a token differ\n", set->name);
      failures++;
    }
    free(a), free(b);
  }
  void *scratch = aligned_alloc(64, ck_tile_scratch_bytes(columns));
  for (int tiled = 0; tiled < 2; tiled++) {
    const ck_kernels *sets[2] = {set, twin};
    float *outs[2] = {y, z};
    for (int i = 0; i < 2; i++) {
      if (tiled) {
        sets[i]->multiply_tile(formats[which].format, stored, row_bytes, rows, columns, records, tokens,
                               outs[i], rows, scratch);
      } else {
        sets[i]->multiply_rows(formats[which].format, stored, row_bytes, rows, columns, records, tokens,
                               outs[i], rows);
      }
    }
    char what[80];
    snprintf(what, sizeof what, "%s %zu rows of %zu %zu tokens%s", formats[which].name, rows, columns, tokens,
             tiled ? " tiled" : "");
    expect_close(set->name, what, y, z, tokens * rows, 5e-6, filler < 0 ? 1 : 50);
    if (!tiled) {
      compare_cuts(set, formats[which].format, stored, row_bytes, rows, columns, records, tokens, y);
    }
  }
  free(stored), free(x), free(y), free(z), free(records), free(again), free(scratch);
}

// Rows of int8 codes of which half is zero: the products, and the rows that come back.
static void compare_half_rows(const ck_kernels *set, size_t columns) {
  if (!set->multiply_half_rows) return;
  enum { ROWS = 3, TOKENS = 2 };
  const size_t row = columns / 32 * 34, half = ck_half_row_bytes(columns), record = ck_record_bytes(columns);
  uint8_t *whole = malloc(row), *back = malloc(row), *halves = malloc(ROWS * half);
  uint8_t *records = aligned_alloc(64, TOKENS * record);
  for (size_t r = 0; r < ROWS; r++) {
    for (size_t i = 0; i < row; i++) whole[i] = (uint8_t)bits();
    for (size_t block = 0; block < columns / 32; block++) {
      uint16_t scale = (uint16_t)(0x2400 + bits() % 0x800);
      memcpy(whole + 34 * block, &scale, 2);
      for (size_t group = 0; group < 8; group++) {
        const size_t first = bits() % 4, second = bits() % 4;
        whole[34 * block + 2 + 4 * group + first] = 0;
        whole[34 * block + 2 + 4 * group + (second == first ? (first + 1) % 4 : second)] = 0;
      }
    }
    comparisons++;
    if (!ck_halve_row(whole, columns, halves + r * half)) printf("%s: a row is not halved\n", set->name), failures++;
    set->expand_half_row(halves + r * half, columns, back);
    if (memcmp(whole, back, row)) printf("%s: a half row does not come back\n", set->name), failures++;
  }
  float *x = malloc(4 * columns), y[ROWS * TOKENS], z[ROWS * TOKENS];
  for (size_t t = 0; t < TOKENS; t++) {
    fill(x, columns);
    ck_kernels_scalar.quantize_activations(x, columns, records + t * record);
  }
  set->multiply_half_rows(halves, ROWS, columns, records, TOKENS, y, ROWS);
  ck_multiply_half_rows_scalar(halves, ROWS, columns, records, TOKENS, z, ROWS);
  expect_close(set->name, "multiply_half_rows", y, z, ROWS * TOKENS, 2e-6, 1);
  free(whole), free(back), free(halves), free(records), free(x);
}

#define N 333
static float a[N], b[N], c[N], d[N], e[N];

#define IN_PLACE(NAME, TOLERANCE, CALL) \
  fill(c, n), memcpy(d, c, sizeof c); \
  { \
    const ck_kernels *k = set; \
    float *v = c; \
    CALL; \
    k = &ck_kernels_scalar, v = d; \
    CALL; \
  } \
  expect_close(set->name, NAME, c, d, n, TOLERANCE, 1);

static void compare_vectors(const ck_kernels *set, size_t n) {
  const ck_kernels *twin = &ck_kernels_scalar;
  fill(a, n), fill(b, n);
  IN_PLACE("add", 0, k->add(a, v, n))
  IN_PLACE("add_scaled", 1e-6, k->add_scaled(1.7f, a, v, n))
  IN_PLACE("scale", 0, k->scale(1.7f, v, n))
  IN_PLACE("multiply", 0, k->multiply(a, v, n))
  IN_PLACE("rms_norm", 1e-6, k->rms_norm(a, b, 1e-5f, v, n))
  IN_PLACE("layer_norm", 2e-6, k->layer_norm(a, b, a, 1e-5f, v, n))
  IN_PLACE("softmax", 1e-6, k->softmax(v, n))
  IN_PLACE("silu_multiply", 1e-6, k->silu_multiply(v, a, n))
  IN_PLACE("gelu", 1e-6, k->gelu(v, n))
  IN_PLACE("gelu_tanh", 2e-6, k->gelu_tanh(v, n))
  IN_PLACE("gelu_tanh_multiply", 2e-6, k->gelu_tanh_multiply(v, a, n))
  IN_PLACE("tanh", 0, k->tanh(v, n))
  IN_PLACE("relu", 0, k->relu(v, n))
  IN_PLACE("rotate_halves", 1e-6, k->rotate_halves(v, a, b, n / 2))
  IN_PLACE("rotate_pairs", 1e-6, k->rotate_pairs(v, a, b, n / 2))
  float one[5] = {set->dot(a, b, n), (float)set->dot_wide(a, b, n), set->absolute_maximum(a, n),
                  (float)set->argmax(a, n), (float)set->log_sum_exp(a, n)};
  float two[5] = {twin->dot(a, b, n), (float)twin->dot_wide(a, b, n), twin->absolute_maximum(a, n),
                  (float)twin->argmax(a, n), (float)twin->log_sum_exp(a, n)};
  expect_close(set->name, "reductions", one, two, 5, 1e-5, 1);
  for (int format = CK_F64; format <= CK_F8_E5M2; format++) {
    double stored[N], again[N];
    memset(stored, 0, sizeof stored), memset(again, 0, sizeof again);
    set->encode_floats(format, a, stored, n);
    twin->encode_floats(format, a, again, n);
    comparisons++;
    if (memcmp(stored, again, sizeof stored)) {
      printf("%s: encode_floats %d differs\n", set->name, format);
      failures++;
    }
    const size_t sizes[] = {8, 4, 2, 2, 1, 1};
    set->multiply_float_rows(format, stored, n * sizes[format], 1, n, CK_F32, b, 1, c, 1, e);
    twin->multiply_float_rows(format, stored, n * sizes[format], 1, n, CK_F32, b, 1, d, 1, e);
    expect_close(set->name, "multiply_float_rows", c, d, 1, 1e-5, 1);
    uint16_t halves[N];
    twin->encode_floats(CK_F16, b, halves, n);
    set->multiply_float_rows(format, stored, n * sizes[format], 1, n, CK_F16, halves, 1, c, 1, e);
    twin->multiply_float_rows(format, stored, n * sizes[format], 1, n, CK_F16, halves, 1, d, 1, e);
    expect_close(set->name, "multiply_float_rows of halves", c, d, 1, 1e-5, 1);
  }
  static float keys[N * 40], values[N * 40], queries[N], out[N], reference[N], scratch[4 * 40];
  fill(keys, n * 40), fill(values, n * 40), fill(queries, n);
  const ck_attention_tile tile = {
    .q = queries, .k = keys, .v = values, .out = out, .q_stride = n, .kv_stride = n, .out_stride = n,
    .queries = 1, .group = 1, .keys = 40, .size = n, .first = 35, .window = 20, .causal = 1, .scale = 0.1f,
    .scratch = scratch};
  ck_attention_tile other = tile;
  other.out = reference;
  set->attention(&tile);
  twin->attention(&other);
  expect_close(set->name, "attention", out, reference, n, 1e-5, 1);
}

// Products of float matrices that lie in every way: sizes around those of tiles, panels and blocks.
static void compare_float_products(const ck_kernels *set) {
  const size_t sizes[][3] = {{1, 1, 1}, {5, 300, 33}, {12, 17, 32}, {13, 256, 65}, {170, 40, 31}, {7, 513, 1030}};
  void *scratch = aligned_alloc(64, (ck_product_scratch_bytes() + 63) / 64 * 64);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    for (int way = 0; way < 4; way++) {
      const size_t m = sizes[i][0], k = sizes[i][1], n = sizes[i][2];
      float *a = malloc(m * k * 4), *b = malloc(k * n * 4), *c = malloc(m * n * 4), *d = malloc(m * n * 4);
      fill(a, m * k);
      fill(b, k * n);
      fill(c, m * n);
      memcpy(d, c, m * n * 4);
      ck_product p = {.a = a, .b = b, .c = c, .a_row = way & 1 ? 1 : k, .a_column = way & 1 ? m : 1,
                      .b_row = way & 2 ? 1 : n, .b_column = way & 2 ? k : 1, .c_row = n, .rows = m, .inner = k,
                      .columns = n, .alpha = 0.75f};
      set->add_product(&p, scratch);
      p.c = d;
      ck_kernels_scalar.add_product(&p, scratch);
      expect_close(set->name, "add_product", c, d, m * n, 2e-6, 1);
      free(a), free(b), free(c), free(d);
    }
  }
  free(scratch);
}

// Rounded rows have the same bytes on every processor, so one number stands for all of them (FNV-1a, of x86-64's baseline).
static void compare_rounding(void) {
  static const struct { int format; const char *name; size_t block, bytes; uint32_t hash; } kinds[] = {
    {CK_Q4_0, "q4_0", 32, 18, 0x2586c622},
    {CK_Q5_0, "q5_0", 32, 22, 0x6dec2762},
    {CK_Q8_0, "q8_0", 32, 34, 0x16c39651},
    {CK_Q4_K, "q4_k", 256, 144, 0xdbc4c373},
    {CK_Q5_K, "q5_k", 256, 176, 0x69f472b8},
    {CK_Q6_K, "q6_k", 256, 210, 0xcd52609e},
  };
  enum { COUNT = 256 * 37 };
  static float x[COUNT];
  static uint8_t stored[COUNT * 2];
  uint32_t draw = 1;
  for (int i = 0; i < COUNT; i++) {
    float sum = 0;
    for (int k = 0; k < 4; k++) {
      draw = draw * 1664525u + 1013904223u;
      sum += (float)(draw >> 8) / 16777216.0f - 0.5f;
    }
    x[i] = i / 256 % 9 == 8 ? 0 : sum * (i % 300 == 7 ? 3.0f : 0.02f) * (i / 256 == 20 ? 1e-6f : i / 256 == 21 ? 1e9f : 1);
  }
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    for (int limit = 0; limit < 3; limit++) {
      ck_limit_to_baseline(limit);
      ck_round_row(kinds[k].format, x, COUNT, stored);
      uint32_t hash = 2166136261u;
      for (size_t i = 0; i < COUNT / kinds[k].block * kinds[k].bytes; i++) hash = (hash ^ stored[i]) * 16777619u;
      comparisons++;
      if (hash == kinds[k].hash) continue;
      printf("rounding to %s, limit %d: hash 0x%08x, not 0x%08x\n", kinds[k].name, limit, hash, kinds[k].hash);
      failures++;
    }
  }
  ck_limit_to_baseline(0);
  printf("rounding: the bytes of x86-64\n");
}

// One to seven streams by the processor's own instructions, where it has some, and by the scalar twin.
static void compare_hashes(void) {
  enum { MOST = 7, BLOCKS = 5 };
  static uint8_t data[MOST][BLOCKS * 64 + 3];
  uint32_t found[MOST][8], wanted[MOST][8];
  uint32_t *states[MOST], *twins[MOST];
  const uint8_t *places[MOST];
  for (size_t streams = 1; streams <= MOST; streams++) {
    for (size_t s = 0; s < streams; s++) {
      for (size_t i = 0; i < sizeof data[s]; i++) data[s][i] = (uint8_t)bits();
      for (size_t i = 0; i < 8; i++) found[s][i] = wanted[s][i] = bits();
      states[s] = found[s];
      twins[s] = wanted[s];
      places[s] = data[s] + s % 4;
    }
    ck_sha256(states, places, streams, BLOCKS);
    ck_select_instruction_set("scalar");
    ck_sha256(twins, places, streams, BLOCKS);
    ck_select_instruction_set(NULL);
    comparisons++;
    if (!memcmp(found, wanted, streams * sizeof *found)) continue;
    printf("SHA-256 of %zu streams differs (%s)\n", streams, ck_sha256_name());
    failures++;
  }
  printf("SHA-256: %s\n", ck_sha256_name());
}

int main(void) {
#if defined(CK_SIMDE)
  const ck_kernels *sets[] = {&ck_kernels_avx2, &ck_kernels_avxvnni, &ck_kernels_avx512, &ck_kernels_neon};
#elif defined(__aarch64__)
  const ck_kernels *sets[] = {&ck_kernels_neon};
#else
  const ck_kernels *sets[] = {&ck_kernels_avx2, &ck_kernels_avxvnni, &ck_kernels_avx512};
#endif
  for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
    int before = comparisons;
    for (size_t which = 0; which < sizeof formats / sizeof *formats; which++) {
      // With blocks of 32, also a rest that fills no 256.
      for (size_t rest = 0; rest <= (formats[which].block == 32 ? 96 : 0); rest += 96) {
        compare_products(sets[s], which, 17, 11, -1, rest);
        compare_products(sets[s], which, 37, 4, -1, rest);
        compare_products(sets[s], which, 5, 33, -1, rest);
        compare_products(sets[s], which, 16, 9, 0x00, rest);
        compare_products(sets[s], which, 16, 9, 0x7f, rest);
        compare_products(sets[s], which, 16, 9, 0x80, rest);
        compare_products(sets[s], which, 16, 9, 0xff, rest);
      }
    }
    const size_t lengths[] = {1, 7, 15, 16, 17, 31, 32, 33, 64, 100, 333};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) compare_vectors(sets[s], lengths[i]);
    compare_float_products(sets[s]);
    compare_half_rows(sets[s], 256);
    compare_half_rows(sets[s], 1280);
    printf("%s: %d comparisons with the scalar twin\n", sets[s]->name, comparisons - before);
  }
  compare_rounding();
  compare_hashes();
  if (failures) printf("%d comparisons failed\n", failures);
  return failures != 0;
}
