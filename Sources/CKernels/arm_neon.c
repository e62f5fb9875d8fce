// NEON with the dot-product extension (ARMv8.2).
#if defined(__aarch64__) || defined(CK_SIMDE)
#include "kernels.h"
#include "sparse.h"
#if defined(CK_SIMDE)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/arm/neon.h>
#else
#include <arm_neon.h>
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#endif

#define CK(name) name##_neon
#define CK_NAME "neon"
#define CK_LANES 8
#define CK_TOKENS 8
#define CK_PRODUCT_ROWS 6
#define CK_PRODUCT_VECTORS 4
#define CK_PRODUCT_LANES 4
#define CK_WIDE_OFFSET 0
#define CK_TURNS_8 1
#define CK_HALF_ROWS 1
#include "bodies/types.h"

#if defined(CK_SIMDE)
CK_INLINE float CK(half)(const void *bytes) {
  uint16_t bits;
  __builtin_memcpy(&bits, bytes, 2);
  return ck_half_to_float(bits);
}

CK_INLINE CK(f8v) CK(half_8)(CK(u8h) bits) {
  CK(f8v) v;
  for (int i = 0; i < 8; i++) v[i] = ck_half_to_float(bits[i]);
  return v;
}

CK_INLINE CK(f16v) CK(half_16)(const void *bytes) {
  float out[16];
  for (int i = 0; i < 16; i++) out[i] = CK(half)((const uint8_t *)bytes + 2 * i);
  return CK(load)(out);
}
#else
CK_INLINE float CK(half)(const void *bytes) {
  __fp16 value;
  __builtin_memcpy(&value, bytes, 2);
  return (float)value;
}

CK_INLINE CK(f8v) CK(half_8)(CK(u8h) bits) {
  float16x8_t halves;
  __builtin_memcpy(&halves, &bits, 16);
  float32x4_t low = vcvt_f32_f16(vget_low_f16(halves)), high = vcvt_f32_f16(vget_high_f16(halves));
  CK(f8v) v;
  __builtin_memcpy(&v, &low, 16);
  __builtin_memcpy((char *)&v + 16, &high, 16);
  return v;
}

CK_INLINE CK(f16v) CK(half_16)(const void *bytes) {
  CK(f16v) v;
  for (int i = 0; i < 4; i++) {
    float16x4_t four;
    __builtin_memcpy(&four, (const uint8_t *)bytes + 8 * i, 8);
    float32x4_t wide = vcvt_f32_f16(four);
    __builtin_memcpy((float *)&v + 4 * i, &wide, 16);
  }
  return v;
}
#endif

// Replaces 32 nibbles by the int8 values that they stand for in iq4_nl and iq4_xs.
CK_INLINE void CK(lookup)(uint8_t *u) {
  int8x16_t table = vld1q_s8(ck_iq4_values);
  for (int i = 0; i < 32; i += 16) vst1q_s8((int8_t *)u + i, vqtbl1q_s8(table, vld1q_u8(u + i)));
}

// Lane l: the sum of 4 products from 4l on, of 32.
CK_INLINE CK(i8v) CK(dot_signed)(const int8_t *c, const int8_t *a) {
  int32x4_t low = vdotq_s32(vdupq_n_s32(0), vld1q_s8(c), vld1q_s8(a));
  int32x4_t high = vdotq_s32(vdupq_n_s32(0), vld1q_s8(c + 16), vld1q_s8(a + 16));
  CK(i8v) sum;
  __builtin_memcpy(&sum, &low, 16);
  __builtin_memcpy((char *)&sum + 16, &high, 16);
  return sum;
}

CK_INLINE CK(i8v) CK(dot_unsigned)(const uint8_t *u, const int8_t *a) {
  return CK(dot_signed)((const int8_t *)u, a);  // codes are at most 63
}

typedef int32_t CK(ilane) __attribute__((vector_size(4 * CK_LANES)));

// Adds the products of the codes at step `k + LANE` with lane LANE of each token's 16 activations.
#define CK_STEP(LANE) \
  { \
    const int8_t *codes = (const int8_t *)tile + (k + LANE) * 32; \
    int8x16_t c = vld1q_s8(codes), d = vld1q_s8(codes + 16); \
    _Pragma("clang loop unroll(full)") for (int t = 0; t < n; t++) { \
      low[t] = vdotq_laneq_s32(low[t], c, sixteen[t], LANE); \
      high[t] = vdotq_laneq_s32(high[t], d, sixteen[t], LANE); \
    } \
  }

// Eight tokens' sums and activations, and the codes of a step, fill 26 of 32 registers.
CK_INLINE void CK(group_sums)(const int kind, const int steps, const int n, const uint8_t *tile,
                              const int8_t *a, size_t stride, CK(ilane) *sums) {
  (void)kind;
  int32x4_t low[CK_TOKENS], high[CK_TOKENS];
#pragma clang loop unroll(full)
  for (int t = 0; t < n; t++) low[t] = high[t] = vdupq_n_s32(0);
#pragma clang loop unroll(full)
  for (int k = 0; k < steps; k += 4) {
    int8x16_t sixteen[CK_TOKENS];
#pragma clang loop unroll(full)
    for (int t = 0; t < n; t++) sixteen[t] = vld1q_s8(a + (size_t)t * stride + 4 * k);
    CK_STEP(0) CK_STEP(1) CK_STEP(2) CK_STEP(3)
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < n; t++) {
    __builtin_memcpy(&sums[t], &low[t], 16);
    __builtin_memcpy((char *)&sums[t] + 16, &high[t], 16);
  }
}
#undef CK_STEP

// The activations, of 32, that meet 16 codes, whose places are the four bytes of `places` from `first` on.
CK_INLINE int8x16_t CK(chosen_16)(uint8x16_t places, uint8_t first, const int8_t *a) {
  static const uint8_t bytes[16] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
  static const int8_t shifts[16] = {0, -2, -4, -6, 0, -2, -4, -6, 0, -2, -4, -6, 0, -2, -4, -6};
  static const uint8_t groups[16] = {0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20, 24, 24, 28, 28};
  uint8x16_t index = vqtbl1q_u8(places, vaddq_u8(vld1q_u8(bytes), vdupq_n_u8(first)));
  index = vandq_u8(vshlq_u8(index, vld1q_s8(shifts)), vdupq_n_u8(3));
  int8x16x2_t both = {{vld1q_s8(a), vld1q_s8(a + 16)}};
  return vqtbl2q_s8(both, vorrq_u8(index, vld1q_u8(groups)));
}

// 32 codes times those of 64 activations that they meet: lane l has codes 4l … 4l + 3.
CK_INLINE CK(i8v) CK(half_dot_32)(const uint8_t *codes, const uint8_t *places, const int8_t *a) {
  uint8x16_t bytes = vcombine_u8(vld1_u8(places), vdup_n_u8(0));
  const int8_t *c = (const int8_t *)codes;
  int32x4_t low = vdotq_s32(vdupq_n_s32(0), vld1q_s8(c), CK(chosen_16)(bytes, 0, a));
  int32x4_t high = vdotq_s32(vdupq_n_s32(0), vld1q_s8(c + 16), CK(chosen_16)(bytes, 4, a + 32));
  CK(i8v) sum;
  __builtin_memcpy(&sum, &low, 16);
  __builtin_memcpy((char *)&sum + 16, &high, 16);
  return sum;
}

// Eight codes to the 16 columns that they belong to.
CK_INLINE void CK(spread_16)(const uint8_t *codes, uint64_t first, uint64_t second, uint8_t *columns) {
  uint8x16_t index = vreinterpretq_u8_u64(
    vcombine_u64(vcreate_u64(first), vcreate_u64(second + 0x0404040404040404)));
  vst1q_u8(columns, vqtbl1q_u8(vcombine_u8(vld1_u8(codes), vdup_n_u8(0)), index));
}

#include "bodies/all.h"
#if !defined(CK_SIMDE)
#pragma clang attribute pop
#endif
#include "bodies/table.h"
#endif
