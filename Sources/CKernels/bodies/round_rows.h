// Rows: tiles are rounded one after another and packed. Included once for each instruction set by round.c. No include guard.

// The words of a tile as words[k][lane], and numbers of its lanes.
CK_INLINE void NAME(words)(const ck_tile_codes *codes, int count, int32_t (*words)[16]) {
  for (int k = 0; k < count; k++) __builtin_memcpy(words[k], &codes->words[k], 64);
}

CK_INLINE uint32_t NAME(nibbles)(int32_t low, int32_t high) {
  return ((uint32_t)low & 0x0f0f0f0f) | ((uint32_t)high & 0x0f0f0f0f) << 4;
}

// Bit 4 of four codes, as four bits.
CK_INLINE uint32_t NAME(fifth_bits)(int32_t word) {
  return ((((uint32_t)word >> 4) & 0x01010101) * 0x10204080u) >> 28;
}

// q4_0 and q5_0.
CK_INLINE void NAME(put_lines)(ck_n16 d, const ck_tile_codes *codes, int blocks, int fifth, uint8_t *bytes) {
  int32_t words[8][16];
  NAME(words)(codes, 8, words);
  for (int b = 0; b < blocks; b++, bytes += fifth ? 22 : 18) {
    uint16_t half = (uint16_t)d[b];
    __builtin_memcpy(bytes, &half, 2);
    uint32_t packed[4], bits = 0;
    for (int k = 0; k < 4; k++) packed[k] = NAME(nibbles)(words[k][b], words[k + 4][b]);
    if (fifth) {
      for (int k = 0; k < 8; k++) bits |= NAME(fifth_bits)(words[k][b]) << (4 * k);
      __builtin_memcpy(bytes + 2, &bits, 4);
    }
    __builtin_memcpy(bytes + (fifth ? 6 : 2), packed, 16);
  }
}

// q4_k and q5_k.
CK_INLINE void NAME(put_affine)(
  ck_n16 d, ck_n16 dmin, ck_n16 scales, ck_n16 minimums, const ck_tile_codes *codes, int blocks, int fifth,
  uint8_t *bytes) {
  int32_t words[8][16];
  NAME(words)(codes, 8, words);
  for (int b = 0; b < blocks; b++, bytes += fifth ? sizeof(ck_q5_k) : sizeof(ck_q4_k)) {
    int first = 8 * b;
    uint16_t halves[2] = {(uint16_t)d[first], (uint16_t)dmin[first]};
    __builtin_memcpy(bytes, halves, 4);
    for (int j = 0; j < 4; j++) {
      int s = scales[first + j], m = minimums[first + j], s4 = scales[first + j + 4], m4 = minimums[first + j + 4];
      bytes[4 + j] = (uint8_t)(s | (s4 >> 4) << 6);
      bytes[8 + j] = (uint8_t)(m | (m4 >> 4) << 6);
      bytes[12 + j] = (uint8_t)((s4 & 15) | (m4 & 15) << 4);
    }
    uint32_t packed[8];
    if (fifth) {
      for (int k = 0; k < 8; k++) {
        packed[k] = 0;
        for (int g = 0; g < 8; g++) packed[k] |= (((uint32_t)words[k][first + g] >> 4) & 0x01010101) << g;
      }
      __builtin_memcpy(bytes + 16, packed, 32);
    }
    for (int pair = 0; pair < 4; pair++) {
      int lane = first + 2 * pair;
      for (int k = 0; k < 8; k++) packed[k] = NAME(nibbles)(words[k][lane], words[k][lane + 1]);
      __builtin_memcpy(bytes + (fifth ? 48 : 16) + 32 * pair, packed, 32);
    }
  }
}

// q6_k: group 8·half + 2·quarter + side has the codes 16·side … of a quarter of 32.
CK_INLINE void NAME(put_line_groups)(ck_n16 d, ck_n16 integers, const ck_tile_codes *codes, uint8_t *bytes) {
  int32_t words[4][16];
  NAME(words)(codes, 4, words);
  for (int half = 0; half < 2; half++) {
    for (int side = 0; side < 2; side++) {
      uint32_t low[4], next[4], high[4];
      for (int k = 0; k < 4; k++) {
        const int32_t *w = words[k] + 8 * half + side;
        low[k] = NAME(nibbles)(w[0], w[4]);
        next[k] = NAME(nibbles)(w[2], w[6]);
        high[k] = 0;
        for (int q = 0; q < 4; q++) high[k] |= (((uint32_t)w[2 * q] >> 4) & 0x03030303) << (2 * q);
      }
      __builtin_memcpy(bytes + 64 * half + 16 * side, low, 16);
      __builtin_memcpy(bytes + 64 * half + 32 + 16 * side, next, 16);
      __builtin_memcpy(bytes + 128 + 32 * half + 16 * side, high, 16);
    }
  }
  for (int g = 0; g < 16; g++) bytes[192 + g] = (uint8_t)integers[g];
  uint16_t scale = (uint16_t)d[0];
  __builtin_memcpy(bytes + 208, &scale, 2);
}

static void NAME(round_line_tile)(const float *x, int blocks, int fifth, uint8_t *bytes) {
  const ck_line_effort *effort = fifth ? &ck_effort_q5_0 : &ck_effort_q4_0;
  ck_tile_codes codes;
  ck_n16 d;
  float low = fifth ? -16 : -8;
  NAME(round_lines)(x, effort, low, -1 - low, &d, &codes);
  NAME(put_lines)(d, &codes, blocks, fifth, bytes);
}

static void NAME(round_affine_tile)(const float *x, int blocks, int fifth, uint8_t *bytes) {
  ck_tile_codes codes;
  ck_n16 d, dmin, scales, minimums;
  if (fifth) NAME(round_affine_groups)(x, &ck_effort_q5_k, 31, &d, &dmin, &scales, &minimums, &codes);
  else NAME(round_affine_groups)(x, &ck_effort_q4_k, 15, &d, &dmin, &scales, &minimums, &codes);
  NAME(put_affine)(d, dmin, scales, minimums, &codes, blocks, fifth, bytes);
}

static void NAME(round_q6_k)(const float *x, uint8_t *bytes) {
  ck_tile_codes codes;
  ck_n16 d, integers;
  NAME(round_line_groups)(x, &ck_effort_q6_k, -32, 31, &d, &integers, &codes);
  NAME(put_line_groups)(d, integers, &codes, bytes);
}

// One block by the definition; see ck_fit_q8_0.
CK_INLINE void NAME(round_q8_0)(const float *x, uint8_t *bytes) {
  ck_v16 a, b;
  __builtin_memcpy(&a, x, 64);
  __builtin_memcpy(&b, x + 16, 64);
  ck_v16 peak = NAME(most_of_eight)(NAME(most)(NAME(magnitude)(a), NAME(magnitude)(b)));
  float most = peak[0] > peak[8] ? peak[0] : peak[8], scale = most / 127;
  uint16_t half = ck_float_to_half(scale);
  __builtin_memcpy(bytes, &half, 2);
  scale = scale > 65504 ? 65504 : scale;
  float inverse = scale < 0x1p-120f ? 0 : 1 / scale;  // no infinity; the stored scale is zero long before
  for (int k = 0; k < 2; k++) {
    ck_v16 value = NAME(clamp)((k ? b : a) * inverse, -127, 127);
    ck_v16 whole = __builtin_convertvector(__builtin_convertvector(value, ck_n16), ck_v16), rest = value - whole;
    whole += rest >= 0.5f ? (ck_v16)1 : rest <= -0.5f ? (ck_v16)-1 : (ck_v16)0;
    ck_c16 codes = __builtin_convertvector(__builtin_convertvector(whole, ck_n16), ck_c16);
    __builtin_memcpy(bytes + 2 + 16 * k, &codes, 16);
  }
}

// Tiles of 512 weights; the last is filled up with zeros.
CK_INLINE void NAME(round_tiles)(
  const float *x, size_t count, int block, int block_bytes, int fifth, void (*round)(const float *, int, int, uint8_t *),
  uint8_t *bytes) {
  for (; count >= 512; count -= 512, x += 512, bytes += 512 / block * block_bytes) round(x, 512 / block, fifth, bytes);
  if (count == 0) return;
  float last[512] = {0};
  __builtin_memcpy(last, x, count * sizeof(float));
  round(last, (int)count / block, fifth, bytes);
}

static void NAME(round_row)(int format, const float *x, size_t count, uint8_t *bytes) {
  switch (format) {
    case CK_Q4_0: NAME(round_tiles)(x, count, 32, sizeof(ck_q4_0), 0, NAME(round_line_tile), bytes); break;
    case CK_Q5_0: NAME(round_tiles)(x, count, 32, sizeof(ck_q5_0), 1, NAME(round_line_tile), bytes); break;
    case CK_Q4_K: NAME(round_tiles)(x, count, 256, sizeof(ck_q4_k), 0, NAME(round_affine_tile), bytes); break;
    case CK_Q5_K: NAME(round_tiles)(x, count, 256, sizeof(ck_q5_k), 1, NAME(round_affine_tile), bytes); break;
    case CK_Q6_K:
      for (size_t i = 0; i < count / 256; i++) NAME(round_q6_k)(x + 256 * i, bytes + sizeof(ck_q6_k) * i);
      break;
    case CK_Q8_0:
      for (size_t i = 0; i < count / 32; i++) NAME(round_q8_0)(x + 32 * i, bytes + sizeof(ck_q8_0) * i);
      break;
    default: break;
  }
}
