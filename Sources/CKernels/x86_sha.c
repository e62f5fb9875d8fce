// SHA-256 by the SHA extensions of x86, up to three streams at once.
#include "sha256.h"

#if defined(__x86_64__) && !defined(CK_SIMDE)
#include <cpuid.h>
#include <immintrin.h>

int ck_sha256_has_x86(void) {
  unsigned int a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1)) return 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}

#pragma clang attribute push(__attribute__((target("sha,sse4.1,ssse3"))), apply_to = function)

// `streams` is a constant. The state is kept as the instructions want it: a b e f and c d g h, from the highest word down.
static inline __attribute__((always_inline)) void run(const int streams, uint32_t *const *states,
                                                      const uint8_t *const *data, size_t blocks) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i abef[CK_SHA256_MOST], cdgh[CK_SHA256_MOST];
#pragma clang loop unroll(full)
  for (int s = 0; s < streams; s++) {
    __m128i low = _mm_loadu_si128((const __m128i *)states[s]), high = _mm_loadu_si128((const __m128i *)states[s] + 1);
    low = _mm_shuffle_epi32(low, 0xb1);
    high = _mm_shuffle_epi32(high, 0x1b);
    abef[s] = _mm_alignr_epi8(low, high, 8);
    cdgh[s] = _mm_blend_epi16(high, low, 0xf0);
  }
  for (size_t at = 0; at < blocks; at++) {
    __m128i w[CK_SHA256_MOST][4], first[CK_SHA256_MOST], second[CK_SHA256_MOST];
#pragma clang loop unroll(full)
    for (int s = 0; s < streams; s++) {
      first[s] = abef[s];
      second[s] = cdgh[s];
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < 16; t++) {
      const __m128i constants = _mm_loadu_si128((const __m128i *)ck_sha256_constants + t);
#pragma clang loop unroll(full)
      for (int s = 0; s < streams; s++) {
        if (t < 4) {
          w[s][t] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data[s] + 64 * at) + t), big_endian);
        } else {
          __m128i sum = _mm_sha256msg1_epu32(w[s][t & 3], w[s][(t + 1) & 3]);
          sum = _mm_add_epi32(sum, _mm_alignr_epi8(w[s][(t + 3) & 3], w[s][(t + 2) & 3], 4));
          w[s][t & 3] = _mm_sha256msg2_epu32(sum, w[s][(t + 3) & 3]);
        }
        __m128i words = _mm_add_epi32(w[s][t & 3], constants);
        second[s] = _mm_sha256rnds2_epu32(second[s], first[s], words);
        first[s] = _mm_sha256rnds2_epu32(first[s], second[s], _mm_shuffle_epi32(words, 0x0e));
      }
    }
#pragma clang loop unroll(full)
    for (int s = 0; s < streams; s++) {
      abef[s] = _mm_add_epi32(abef[s], first[s]);
      cdgh[s] = _mm_add_epi32(cdgh[s], second[s]);
    }
  }
#pragma clang loop unroll(full)
  for (int s = 0; s < streams; s++) {
    __m128i low = _mm_shuffle_epi32(abef[s], 0x1b), high = _mm_shuffle_epi32(cdgh[s], 0xb1);
    _mm_storeu_si128((__m128i *)states[s], _mm_blend_epi16(low, high, 0xf0));
    _mm_storeu_si128((__m128i *)states[s] + 1, _mm_alignr_epi8(high, low, 8));
  }
}

void ck_sha256_x86(uint32_t *const *states, const uint8_t *const *data, size_t streams, size_t blocks) {
  switch (streams) {
    case 1: run(1, states, data, blocks); break;
    case 2: run(2, states, data, blocks); break;
    case 3: run(3, states, data, blocks); break;
  }
}

#pragma clang attribute pop

#else

int ck_sha256_has_x86(void) { return 0; }
void ck_sha256_x86(uint32_t *const *states, const uint8_t *const *data, size_t streams, size_t blocks) {
  (void)states, (void)data, (void)streams, (void)blocks;
}

#endif
