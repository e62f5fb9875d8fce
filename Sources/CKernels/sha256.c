// SHA-256: the scalar twin, and the choice between it and what the processor has.
#include "sha256.h"
#include "kernels.h"
#include <stdatomic.h>
#include <string.h>

// FIPS 180-4, 4.2.2.
const uint32_t ck_sha256_constants[64] = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t turned(uint32_t x, int bits) { return x >> bits | x << (32 - bits); }

// FIPS 180-4, 6.2.2.
static void block_scalar(uint32_t *state, const uint8_t *data) {
  uint32_t w[64], s[8];
  for (int t = 0; t < 16; t++) {
    const uint8_t *at = data + 4 * t;
    w[t] = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
  }
  for (int t = 16; t < 64; t++) {
    uint32_t early = turned(w[t - 15], 7) ^ turned(w[t - 15], 18) ^ w[t - 15] >> 3;
    uint32_t late = turned(w[t - 2], 17) ^ turned(w[t - 2], 19) ^ w[t - 2] >> 10;
    w[t] = late + w[t - 7] + early + w[t - 16];
  }
  memcpy(s, state, sizeof s);
  for (int t = 0; t < 64; t++) {
    uint32_t a = s[0], b = s[1], c = s[2], e = s[4], f = s[5], g = s[6];
    uint32_t first = s[7] + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g))
                     + ck_sha256_constants[t] + w[t];
    uint32_t second = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    memmove(s + 1, s, 7 * sizeof *s);
    s[4] += first;
    s[0] = first + second;
  }
  for (int i = 0; i < 8; i++) state[i] += s[i];
}

static void scalar(uint32_t *const *states, const uint8_t *const *data, size_t streams, size_t blocks) {
  for (size_t stream = 0; stream < streams; stream++) {
    for (size_t at = 0; at < blocks; at++) block_scalar(states[stream], data[stream] + 64 * at);
  }
}

enum { UNKNOWN, SCALAR, X86, ARM };

// What the calling thread runs: the processor's own instructions, unless the thread asked for the scalar kernels.
static int chosen(void) {
  static _Atomic(int) known;
  int found = atomic_load_explicit(&known, memory_order_relaxed);
  if (found == UNKNOWN) {
    found = ck_sha256_has_x86() ? X86 : ck_sha256_has_arm() ? ARM : SCALAR;
    atomic_store_explicit(&known, found, memory_order_relaxed);
  }
  return strcmp(ck_instruction_set(), "scalar") ? found : SCALAR;
}

void ck_sha256(uint32_t *const *states, const uint8_t *const *data, size_t streams, size_t blocks) {
  int kind = chosen();
  if (kind == SCALAR) {
    scalar(states, data, streams, blocks);
    return;
  }
  while (streams > 0) {
    // Four are two and two, not three and one.
    size_t now = streams == 4 ? 2 : streams < CK_SHA256_MOST ? streams : CK_SHA256_MOST;
    if (kind == X86) ck_sha256_x86(states, data, now, blocks);
    else ck_sha256_arm(states, data, now, blocks);
    states += now;
    data += now;
    streams -= now;
  }
}

const char *ck_sha256_name(void) {
  switch (chosen()) {
    case X86: return "sha-ni";
    case ARM: return "arm-sha2";
    default: return "scalar";
  }
}
