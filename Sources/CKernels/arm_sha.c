// SHA-256 by the SHA2 instructions of ARMv8, up to three streams at once.
#include "sha256.h"

#if defined(__aarch64__) && !defined(CK_SIMDE)
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

int ck_sha256_has_arm(void) {
#if defined(__APPLE__)
  return 1;
#elif defined(__linux__)
  return (getauxval(AT_HWCAP) >> 6) & 1;  // HWCAP_SHA2
#else
  return 0;
#endif
}

#pragma clang attribute push(__attribute__((target("sha2"))), apply_to = function)

// `streams` is a constant.
static inline __attribute__((always_inline)) void run(const int streams, uint32_t *const *states,
                                                      const uint8_t *const *data, size_t blocks) {
  uint32x4_t abcd[CK_SHA256_MOST], efgh[CK_SHA256_MOST];
#pragma clang loop unroll(full)
  for (int s = 0; s < streams; s++) {
    abcd[s] = vld1q_u32(states[s]);
    efgh[s] = vld1q_u32(states[s] + 4);
  }
  for (size_t at = 0; at < blocks; at++) {
    uint32x4_t w[CK_SHA256_MOST][4], first[CK_SHA256_MOST], second[CK_SHA256_MOST];
#pragma clang loop unroll(full)
    for (int s = 0; s < streams; s++) {
      first[s] = abcd[s];
      second[s] = efgh[s];
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < 16; t++) {
      const uint32x4_t constants = vld1q_u32(ck_sha256_constants + 4 * t);
#pragma clang loop unroll(full)
      for (int s = 0; s < streams; s++) {
        if (t < 4) {
          w[s][t] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data[s] + 64 * at + 16 * t)));
        } else {
          w[s][t & 3] = vsha256su1q_u32(vsha256su0q_u32(w[s][t & 3], w[s][(t + 1) & 3]), w[s][(t + 2) & 3],
                                        w[s][(t + 3) & 3]);
        }
        uint32x4_t words = vaddq_u32(w[s][t & 3], constants), before = first[s];
        first[s] = vsha256hq_u32(first[s], second[s], words);
        second[s] = vsha256h2q_u32(second[s], before, words);
      }
    }
#pragma clang loop unroll(full)
    for (int s = 0; s < streams; s++) {
      abcd[s] = vaddq_u32(abcd[s], first[s]);
      efgh[s] = vaddq_u32(efgh[s], second[s]);
    }
  }
#pragma clang loop unroll(full)
  for (int s = 0; s < streams; s++) {
    vst1q_u32(states[s], abcd[s]);
    vst1q_u32(states[s] + 4, efgh[s]);
  }
}

void ck_sha256_arm(uint32_t *const *states, const uint8_t *const *data, size_t streams, size_t blocks) {
  switch (streams) {
    case 1: run(1, states, data, blocks); break;
    case 2: run(2, states, data, blocks); break;
    case 3: run(3, states, data, blocks); break;
  }
}

#pragma clang attribute pop

#else

int ck_sha256_has_arm(void) { return 0; }
void ck_sha256_arm(uint32_t *const *states, const uint8_t *const *data, size_t streams, size_t blocks) {
  (void)states, (void)data, (void)streams, (void)blocks;
}

#endif
