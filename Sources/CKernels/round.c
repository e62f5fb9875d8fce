// Rounding of rows without importance. The same source is compiled for the baseline and, on x86-64, for AVX2 and AVX-512.
// The lanes of a vector are groups of weights, not weights: sums need no reduction, are taken in the order of the weights, and
// nothing is fused, so all give the same bytes. The baseline's are what defines the result.
#include "ck_round.h"

#include "bodies/dispatch.h"
#include "ck_decode.h"
#include "ck_encode.h"

#pragma clang fp contract(off)
// Vectors are passed between inlined functions of this file only: no calling convention is at stake.
#pragma clang diagnostic ignored "-Wpsabi"

#define CK_INLINE static inline __attribute__((always_inline))

typedef float ck_v8 __attribute__((ext_vector_type(8)));
typedef float ck_v16 __attribute__((ext_vector_type(16)));
typedef int32_t ck_n16 __attribute__((ext_vector_type(16)));
typedef int8_t ck_c16 __attribute__((ext_vector_type(16)));

// Sixteen groups of up to 32 weights: vector i holds weight i of each group. x is in units of a power of two, so that the
// largest magnitude of what shares a half-precision scale is in [1, 2).
typedef struct {
  ck_v16 x[32];
  ck_v16 w[32];
  ck_v16 unit, inverse;  // the powers of two
  ck_v16 least, most;
  ck_v16 squares;  // Σ x²
} ck_tile;

// Codes as they are packed: four a word, weight 4k in the lowest byte of word k.
typedef struct {
  ck_n16 words[8];
} ck_tile_codes;

// How much is tried for y = s·q.
typedef struct {
  int place_count, turns;  // scales by where they put the peak, an even number; codes and scale in turn after that
  int reach, refits;       // shared scales: pairs of integers around the ideal; codes and shared scale in turn
  float places[16];        // in units of the scale
} ck_line_effort;

// How much is tried for y = s·q + m.
typedef struct {
  int end_count, turns;                      // ranges of a group; codes and fit in turn after that
  int clipping_count;                        // of the peaks of scales and minimums
  int move_count, refits, refit_move_count;  // moves of a group's integers, even numbers; the first is none
  float ends[24][2], clippings[12], moves[16][2];
} ck_affine_effort;

// Chosen one by one, the best first, by the error on normal and on Student's t distributed weights. With few weights to a group
// a coarser scale that happens to fit them is often better than the one that uses all codes.
static const ck_line_effort ck_effort_q4_0 = {8, 1, 0, 0, {-8, -7.6f, -7.2f, -8.4f, -8.8f, -6.8f, 6.6f, 7.2f}};
static const ck_line_effort ck_effort_q5_0 = {8, 1, 0, 0, {-16.2f, -15, -15.75f, -14, 13.3f, -15.25f, -16, -14.25f}};
static const ck_line_effort ck_effort_q6_k = {8, 0, 1, 0, {-32, -31, -30, -29, -28, 27, -26, -25}};

static const ck_affine_effort ck_effort_q4_k = {
  .end_count = 10, .turns = 1, .clipping_count = 4, .move_count = 12, .refits = 1, .refit_move_count = 6,
  .ends = {{0, 0}, {.28f, -.42f}, {-.14f, .42f}, {.42f, .14f}, {-.42f, .14f}, {.42f, .42f}, {-.28f, -.42f}, {0, .14f},
           {.56f, 0}, {.14f, .7f}},
  .clippings = {1, .97f, .94f, .91f},
  .moves = {{0, 0}, {3, 1}, {-1, -1}, {3, 4}, {3, 5}, {1, 1}, {2, 1}, {3, 3}, {1, 2}, {2, 0}, {-1, 0}, {3, 0}}};

static const ck_affine_effort ck_effort_q5_k = {
  .end_count = 12, .turns = 1, .clipping_count = 6, .move_count = 16, .refits = 2, .refit_move_count = 8,
  .ends = {{0, 0}, {.14f, -.28f}, {-.42f, .28f}, {.42f, 0}, {-.42f, .42f}, {.28f, .56f}, {.56f, .56f}, {0, .84f},
           {.28f, -.42f}, {-.14f, .42f}, {-.28f, -.42f}, {.14f, .7f}},
  .clippings = {1, .97f, .94f, .91f, .88f, .85f},
  .moves = {{0, 0}, {2, 0}, {1, 0}, {1, 1}, {1, 2}, {2, 1}, {3, 3}, {2, 3}, {3, 5}, {2, -1}, {2, 2}, {1, -1}, {-1, -1}, {3, 4},
            {-1, 0}, {3, 1}}};

// CK_WIDE: registers hold sixteen lanes. CK_ROUNDS: there is an instruction that rounds to the nearest integer.
#define CK_WIDE 0
#define CK_ROUNDS 0
#define NAME(x) scalar_##x
#include "bodies/round_common.h"
#include "bodies/round_line.h"
#include "bodies/round_affine.h"
#include "bodies/round_rows.h"
#undef PART
#undef JOIN
#undef NAME

#if defined(__x86_64__)
#undef CK_ROUNDS
#define CK_ROUNDS 1
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#define NAME(x) avx2_##x
#include "bodies/round_common.h"
#include "bodies/round_line.h"
#include "bodies/round_affine.h"
#include "bodies/round_rows.h"
#undef PART
#undef JOIN
#undef NAME
#pragma clang attribute pop
#undef CK_WIDE
#define CK_WIDE 1
#pragma clang attribute push(__attribute__((target("avx2,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#define NAME(x) avx512_##x
#include "bodies/round_common.h"
#include "bodies/round_line.h"
#include "bodies/round_affine.h"
#include "bodies/round_rows.h"
#undef PART
#undef JOIN
#undef NAME
#pragma clang attribute pop
#endif

int ck_rounds(int format) {
  return format == CK_Q4_0 || format == CK_Q5_0 || format == CK_Q8_0 || format == CK_Q4_K || format == CK_Q5_K
    || format == CK_Q6_K;
}

void ck_round_row(int format, const float *x, size_t count, void *bytes) {
#if defined(__x86_64__)
  if (ck_uses_avx512()) {
    avx512_round_row(format, x, count, bytes);
    return;
  }
  if (ck_uses_avx2()) {
    avx2_round_row(format, x, count, bytes);
    return;
  }
#endif
  scalar_round_row(format, x, count, bytes);
}
