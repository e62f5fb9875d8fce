// The baseline of every processor: plain loops, which define the results.
#include "kernels.h"

#define CK(name) name##_scalar
#define CK_NAME "scalar"
#define CK_LANES 8
#define CK_TOKENS 4
#define CK_PRODUCT_ROWS 4
#define CK_PRODUCT_VECTORS 1
#define CK_PRODUCT_LANES 8
#define CK_WIDE_OFFSET 0
#include "bodies/types.h"

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

// Replaces 32 nibbles by the int8 values that they stand for in iq4_nl and iq4_xs.
CK_INLINE void CK(lookup)(uint8_t *u) {
  for (int i = 0; i < 32; i++) u[i] = (uint8_t)ck_iq4_values[u[i]];
}

// Lane l: the sum of 4 products from 4l on, of 32.
CK_INLINE CK(i8v) CK(dot_unsigned)(const uint8_t *u, const int8_t *a) {
  CK(i8v) sum;
  for (int l = 0; l < 8; l++) {
    int32_t s = 0;
    for (int j = 4 * l; j < 4 * l + 4; j++) s += (int32_t)u[j] * a[j];
    sum[l] = s;
  }
  return sum;
}

CK_INLINE CK(i8v) CK(dot_signed)(const int8_t *c, const int8_t *a) {
  CK(i8v) sum;
  for (int l = 0; l < 8; l++) {
    int32_t s = 0;
    for (int j = 4 * l; j < 4 * l + 4; j++) s += (int32_t)c[j] * a[j];
    sum[l] = s;
  }
  return sum;
}

typedef int32_t CK(ilane) __attribute__((vector_size(4 * CK_LANES)));

// For each of `n` tokens and each lane (row), the sum over `steps` times 4 codes of a tile.
CK_INLINE void CK(group_sums)(const int kind, const int steps, const int n, const uint8_t *tile,
                              const int8_t *a, size_t stride, CK(ilane) *sums) {
  for (int t = 0; t < n; t++) {
    int32_t sum[CK_LANES] = {0};
    for (int k = 0; k < steps; k++) {
      const int8_t *four = a + (size_t)t * stride + 4 * k;
      for (int l = 0; l < CK_LANES; l++) {
        const uint8_t *u = tile + 4 * (k * CK_LANES + l);
        for (int j = 0; j < 4; j++) {
          sum[l] += (kind == CK_KIND_WIDE ? (int32_t)(int8_t)u[j] : (int32_t)u[j]) * four[j];
        }
      }
    }
    __builtin_memcpy(&sums[t], sum, sizeof sum);
  }
}

#include "bodies/all.h"
#include "bodies/table.h"
