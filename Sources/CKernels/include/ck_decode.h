#pragma once
// Stored weights to floats, one row at a time.
#include <stddef.h>
#include <stdint.h>

// How a row is stored. Block formats follow ggml's layouts (little endian, byte for byte).
enum {
  CK_F64 = 0,
  CK_F32 = 1,
  CK_F16 = 2,
  CK_BF16 = 3,
  CK_F8_E4M3 = 4,
  CK_F8_E5M2 = 5,
  CK_Q4_0 = 16,
  CK_Q4_1,
  CK_Q5_0,
  CK_Q5_1,
  CK_Q8_0,
  CK_Q2_K,
  CK_Q3_K,
  CK_Q4_K,
  CK_Q5_K,
  CK_Q6_K,
  CK_IQ4_NL,
  CK_IQ4_XS
};

// The blocks. They are packed: a row may start at any address. Half-precision numbers are kept as their bits.
#define CK_PACKED __attribute__((packed))

// 32 weights: d·(q − 8), low nibbles first half, high nibbles second half.
typedef struct CK_PACKED { uint16_t d; uint8_t qs[16]; } ck_q4_0;
// 32 weights: d·q + m.
typedef struct CK_PACKED { uint16_t d, m; uint8_t qs[16]; } ck_q4_1;
// 32 weights: d·(q − 16); bit j of qh is the fifth bit of weight j.
typedef struct CK_PACKED { uint16_t d; uint8_t qh[4]; uint8_t qs[16]; } ck_q5_0;
// 32 weights: d·q + m.
typedef struct CK_PACKED { uint16_t d, m; uint8_t qh[4]; uint8_t qs[16]; } ck_q5_1;
// 32 weights: d·q.
typedef struct CK_PACKED { uint16_t d; int8_t qs[32]; } ck_q8_0;
// 256 weights in 16 groups of 16: d·sc·q − dmin·m, sc the low and m the high nibble of a scale byte.
typedef struct CK_PACKED { uint8_t scales[16]; uint8_t qs[64]; uint16_t d, dmin; } ck_q2_k;
// 256 weights in 16 groups of 16: d·(sc − 32)·(q − (high bit ? 0 : 4)).
typedef struct CK_PACKED { uint8_t hmask[32]; uint8_t qs[64]; uint8_t scales[12]; uint16_t d; } ck_q3_k;
// 256 weights in 8 groups of 32: d·sc·q − dmin·m with 6-bit sc and m.
typedef struct CK_PACKED { uint16_t d, dmin; uint8_t scales[12]; uint8_t qs[128]; } ck_q4_k;
// As q4_k with a fifth bit: bit 2k of qh[l] for weight 64k + l, bit 2k + 1 for 64k + 32 + l.
typedef struct CK_PACKED { uint16_t d, dmin; uint8_t scales[12]; uint8_t qh[32]; uint8_t qs[128]; } ck_q5_k;
// 256 weights in 16 groups of 16: d·sc·(q − 32).
typedef struct CK_PACKED { uint8_t ql[128]; uint8_t qh[64]; int8_t scales[16]; uint16_t d; } ck_q6_k;
// 32 weights: d·T[q] with the table below.
typedef struct CK_PACKED { uint16_t d; uint8_t qs[16]; } ck_iq4_nl;
// 256 weights in 8 groups of 32: d·(sc − 32)·T[q].
typedef struct CK_PACKED { uint16_t d; uint16_t scales_h; uint8_t scales_l[4]; uint8_t qs[128]; } ck_iq4_xs;

_Static_assert(sizeof(ck_q4_0) == 18, "q4_0");
_Static_assert(sizeof(ck_q4_1) == 20, "q4_1");
_Static_assert(sizeof(ck_q5_0) == 22, "q5_0");
_Static_assert(sizeof(ck_q5_1) == 24, "q5_1");
_Static_assert(sizeof(ck_q8_0) == 34, "q8_0");
_Static_assert(sizeof(ck_q2_k) == 84, "q2_k");
_Static_assert(sizeof(ck_q3_k) == 110, "q3_k");
_Static_assert(sizeof(ck_q4_k) == 144, "q4_k");
_Static_assert(sizeof(ck_q5_k) == 176, "q5_k");
_Static_assert(sizeof(ck_q6_k) == 210, "q6_k");
_Static_assert(sizeof(ck_iq4_nl) == 18, "iq4_nl");
_Static_assert(sizeof(ck_iq4_xs) == 136, "iq4_xs");

// The values that the codes of iq4_nl and iq4_xs stand for.
static const int8_t ck_iq4_values[16] = {
  -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// Decodes `count` weights stored as `format` (CK_…) at `bytes` into `out`.
//
// `count` is a multiple of the format's block (1, 32 or 256); `bytes` may have any alignment and does not
// overlap `out`. Products and sums are single-precision in the order that the format's definition states them,
// never fused, so every instruction set gives the same bits. An unknown format gives zeros.
void ck_decode_row(int format, const void *bytes, float *out, size_t count);

// With 1, ck_decode_row and the functions of ck_encode.h and ck_round.h use their baseline bodies whatever the machine has,
// with 2 AVX2 at most, with 0 what it has; for tests, which show that all give the same bits.
void ck_limit_to_baseline(int on);

// The 6-bit scale and minimum of group j (0..7) of a q4_k or q5_k block.
static inline void ck_scale_min_k4(const uint8_t *scales, int j, uint8_t *scale, uint8_t *minimum) {
  if (j < 4) {
    *scale = scales[j] & 63;
    *minimum = scales[j + 4] & 63;
  } else {
    *scale = (uint8_t)((scales[j + 4] & 15) | ((scales[j - 4] >> 6) << 4));
    *minimum = (uint8_t)((scales[j + 4] >> 4) | ((scales[j] >> 6) << 4));
  }
}

// The 6-bit scale (0..63, standing for −32..31) of group j (0..15) of a q3_k block.
static inline uint8_t ck_scale_q3_k(const uint8_t *scales, int j) {
  uint8_t low = j < 8 ? scales[j] & 15 : scales[j - 8] >> 4;
  return (uint8_t)(low | (((scales[8 + j % 4] >> (2 * (j / 4))) & 3) << 4));
}

// Half precision to single, from the bits; exact, a NaN keeps its payload.
static inline float ck_half_to_float(uint16_t half) {
  uint32_t bits = (uint32_t)(half & 0x7fff) << 13;
  float value;
  __builtin_memcpy(&value, &bits, 4);
  value *= 0x1p112f;  // moves the exponent's bias; a subnormal half becomes a normal float here
  __builtin_memcpy(&bits, &value, 4);
  bits |= bits >= 0x47800000u ? 0x7f800000u : 0;
  bits |= (uint32_t)(half & 0x8000) << 16;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

// Whether one of `count` numbers of 16 bits, which may lie anywhere, has all the bits of `exponent` set (0x7c00 for halves, 0x7f80
// for bfloat16): it is infinite or no number then.
int ck_has_half_exponent(const void *halves, size_t count, uint16_t exponent);
