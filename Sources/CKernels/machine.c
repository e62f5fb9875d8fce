// Reading and arithmetic at the machine's limit. One table a processor family; the scalar table defines the results.
#include "ck_machine.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

// Registers that are added to in turn: enough to hide the latency of the instruction on two pipes or four.
enum { CHAINS = 12 };

typedef struct {
  const char *name;  // NULL where the processor lacks it
  int lanes;         // of one register
  int products;      // of one lane in one instruction
  double (*run)(int x, size_t rounds);
} ck_peak;

typedef struct {
  uint64_t (*read)(const void *, size_t);
  ck_peak peaks[CK_PEAK_KINDS];
} ck_machine;

// Keeps the compiler from adding up several rounds at once.
#define ROUND() __asm__ volatile("" ::: "memory")

// MARK: Scalar

static uint64_t read_scalar(const void *bytes, size_t count) {
  uint64_t sum = 0, word;
  for (size_t i = 0; i + 8 <= count; i += 8) {
    __builtin_memcpy(&word, (const char *)bytes + i, 8);
    sum += word;
  }
  return sum;
}

static double f32_scalar(int x, size_t rounds) {
  float sums[CHAINS] = {0}, factors[CHAINS];
  for (int k = 0; k < CHAINS; k++) factors[k] = (float)x;
  for (size_t round = 0; round < rounds; round++) {
    for (int k = 0; k < CHAINS; k++) sums[k] += factors[k] * 1.0f;
    ROUND();
  }
  double sum = 0;
  for (int k = 0; k < CHAINS; k++) sum += (double)sums[k];
  return sum;
}

static double int8_scalar(int x, size_t rounds) {
  int32_t sums[CHAINS] = {0};
  int8_t factors[CHAINS];
  for (int k = 0; k < CHAINS; k++) factors[k] = (int8_t)x;
  for (size_t round = 0; round < rounds; round++) {
    for (int k = 0; k < CHAINS; k++) sums[k] = (int32_t)((uint32_t)sums[k] + (uint32_t)factors[k]);
    ROUND();
  }
  double sum = 0;
  for (int k = 0; k < CHAINS; k++) sum += (double)sums[k];
  return sum;
}

static const ck_machine machine_scalar = {
  read_scalar,
  {{"scalar", 1, 1, f32_scalar}, {NULL, 1, 1, NULL}, {"scalar", 1, 1, int8_scalar}},
};

// MARK: Vectors

// A loop that reads eight registers at a time.
#define READ(name, lanes)                                                           \
  static uint64_t name(const void *bytes, size_t count) {                           \
    typedef uint64_t words __attribute__((vector_size(8 * (lanes)), aligned(8)));   \
    const size_t width = 8 * 8 * (lanes);                                           \
    words sums[8] = {0};                                                            \
    size_t place = 0;                                                               \
    for (; place + width <= count; place += width) {                                \
      for (int k = 0; k < 8; k++) {                                                 \
        words v;                                                                    \
        __builtin_memcpy(&v, (const char *)bytes + place + 8 * (lanes) * k, sizeof v); \
        sums[k] += v;                                                               \
      }                                                                             \
    }                                                                               \
    uint64_t sum = 0;                                                               \
    for (int k = 0; k < 8; k++)                                                     \
      for (int lane = 0; lane < (lanes); lane++) sum += sums[k][lane];              \
    return sum + read_scalar((const char *)bytes + place, count - place);           \
  }

// Rounds of one instruction on CHAINS registers; `ADD` makes the new value of `sum` from `factor` and `one`.
#define PEAK(name, TYPE, ZERO, FACTOR, ONE, ADD, LANE, LANES)                       \
  static double name(int x, size_t rounds) {                                        \
    TYPE sums[CHAINS];                                                              \
    FACTOR_TYPE factor = FACTOR, one = ONE;                                         \
    for (int k = 0; k < CHAINS; k++) sums[k] = ZERO;                                \
    for (size_t round = 0; round < rounds; round++) {                               \
      _Pragma("clang loop unroll(full)") for (int k = 0; k < CHAINS; k++) {         \
        TYPE sum = sums[k];                                                         \
        sums[k] = ADD;                                                              \
      }                                                                             \
    }                                                                               \
    double total = 0;                                                               \
    for (int k = 0; k < CHAINS; k++) {                                              \
      LANE lanes[LANES];                                                            \
      __builtin_memcpy(lanes, &sums[k], sizeof lanes);                              \
      for (int i = 0; i < (LANES); i++) total += (double)lanes[i];                  \
    }                                                                               \
    return total;                                                                   \
  }

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
READ(read_avx2, 4)
#define FACTOR_TYPE __m256
PEAK(f32_avx2, __m256, _mm256_setzero_ps(), _mm256_set1_ps((float)x), _mm256_set1_ps(1),
     _mm256_fmadd_ps(factor, one, sum), float, 8)
#undef FACTOR_TYPE
#define FACTOR_TYPE __m256i
// What AVX2 has for int8: pairs into 16 bits, pairs of those into 32, and an addition.
PEAK(int8_avx2, __m256i, _mm256_setzero_si256(), _mm256_set1_epi8((char)x), _mm256_set1_epi8(1),
     _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(factor, one), _mm256_set1_epi16(1))), int32_t, 8)
#undef FACTOR_TYPE
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target("avx2,avxvnni"))), apply_to = function)
#define FACTOR_TYPE __m256i
PEAK(int8_avx_vnni, __m256i, _mm256_setzero_si256(), _mm256_set1_epi8((char)x), _mm256_set1_epi8(1),
     _mm256_dpbusd_avx_epi32(sum, factor, one), int32_t, 8)
#undef FACTOR_TYPE
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vnni"))), apply_to = function)
READ(read_avx512, 8)
#define FACTOR_TYPE __m512
PEAK(f32_avx512, __m512, _mm512_setzero_ps(), _mm512_set1_ps((float)x), _mm512_set1_ps(1),
     _mm512_fmadd_ps(factor, one, sum), float, 16)
#undef FACTOR_TYPE
#define FACTOR_TYPE __m512i
PEAK(int8_avx512_vnni, __m512i, _mm512_setzero_si512(), _mm512_set1_epi8((char)x), _mm512_set1_epi8(1),
     _mm512_dpbusd_epi32(sum, factor, one), int32_t, 16)
#undef FACTOR_TYPE
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))), apply_to = function)
static __m512bh bf16_all(float x) {
  __m512 v = _mm512_set1_ps(x);
  return _mm512_cvtne2ps_pbh(v, v);
}
#define FACTOR_TYPE __m512bh
PEAK(bf16_avx512, __m512, _mm512_setzero_ps(), bf16_all((float)x), bf16_all(1), _mm512_dpbf16_ps(sum, factor, one),
     float, 16)
#undef FACTOR_TYPE
#pragma clang attribute pop

static ck_machine find_machine(void) {
  ck_machine machine = machine_scalar;
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return machine;
  machine.read = read_avx2;
  machine.peaks[CK_PEAK_F32] = (ck_peak){"avx2 fma", 8, 1, f32_avx2};
  machine.peaks[CK_PEAK_INT8] = (ck_peak){"avx2 maddubs", 8, 4, int8_avx2};
  if (__builtin_cpu_supports("avxvnni")) machine.peaks[CK_PEAK_INT8] = (ck_peak){"avx-vnni", 8, 4, int8_avx_vnni};
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw")) return machine;
  machine.peaks[CK_PEAK_F32] = (ck_peak){"avx512f", 16, 1, f32_avx512};
  machine.read = read_avx512;
  if (__builtin_cpu_supports("avx512vnni"))
    machine.peaks[CK_PEAK_INT8] = (ck_peak){"avx512-vnni", 16, 4, int8_avx512_vnni};
  if (__builtin_cpu_supports("avx512bf16"))
    machine.peaks[CK_PEAK_BF16] = (ck_peak){"avx512-bf16", 16, 2, bf16_avx512};
  return machine;
}

#elif defined(__aarch64__)
READ(read_neon, 2)
#define FACTOR_TYPE float32x4_t
PEAK(f32_neon, float32x4_t, vdupq_n_f32(0), vdupq_n_f32((float)x), vdupq_n_f32(1), vfmaq_f32(sum, factor, one), float, 4)
#undef FACTOR_TYPE
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#define FACTOR_TYPE int8x16_t
PEAK(int8_neon, int32x4_t, vdupq_n_s32(0), vdupq_n_s8((int8_t)x), vdupq_n_s8(1), vdotq_s32(sum, factor, one), int32_t, 4)
#undef FACTOR_TYPE
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("bf16"))), apply_to = function)
static bfloat16x8_t bf16_all(float x) {
  return vreinterpretq_bf16_u16(vdupq_n_u16((uint16_t)(vgetq_lane_u32(vreinterpretq_u32_f32(vdupq_n_f32(x)), 0) >> 16)));
}
#define FACTOR_TYPE bfloat16x8_t
PEAK(bf16_neon, float32x4_t, vdupq_n_f32(0), bf16_all((float)x), bf16_all(1), vbfdotq_f32(sum, factor, one), float, 4)
#undef FACTOR_TYPE
#pragma clang attribute pop

static ck_machine find_machine(void) {
  ck_machine machine = machine_scalar;
  machine.read = read_neon;
  machine.peaks[CK_PEAK_F32] = (ck_peak){"neon fma", 4, 1, f32_neon};
#if defined(__APPLE__)
  machine.peaks[CK_PEAK_INT8] = (ck_peak){"neon dotprod", 4, 4, int8_neon};
#elif defined(__linux__)
  if ((getauxval(AT_HWCAP) >> 20) & 1)  // HWCAP_ASIMDDP
    machine.peaks[CK_PEAK_INT8] = (ck_peak){"neon dotprod", 4, 4, int8_neon};
  if ((getauxval(AT_HWCAP2) >> 14) & 1)  // HWCAP2_BF16
    machine.peaks[CK_PEAK_BF16] = (ck_peak){"neon bfdot", 4, 2, bf16_neon};
#endif
  return machine;
}

#else
static ck_machine find_machine(void) { return machine_scalar; }
#endif

// MARK: Dispatch

static _Thread_local int scalar_here;

// Finding takes some loads of what the system knows already: no need to keep it.
static ck_machine machine(void) { return scalar_here ? machine_scalar : find_machine(); }

void ck_machine_select_scalar(int scalar) { scalar_here = scalar; }

uint64_t ck_machine_read(const void *bytes, size_t count) { return machine().read(bytes, count); }

static ck_peak peak(int kind) {
  ck_peak none = {0};
  return kind >= 0 && kind < CK_PEAK_KINDS ? machine().peaks[kind] : none;
}

const char *ck_machine_peak_name(int kind) { return peak(kind).name; }

double ck_machine_peak_operations(int kind) {
  ck_peak found = peak(kind);
  return 2.0 * CHAINS * found.lanes * found.products;
}

double ck_machine_peak(int kind, int x, size_t rounds) {
  ck_peak found = peak(kind);
  return found.run ? found.run(x, rounds) : 0;
}

#if defined(__GLIBC__)
#include <malloc.h>
void ck_give_back_memory(void) { mallopt(M_MMAP_THRESHOLD, 1 << 20); }
#else
void ck_give_back_memory(void) {}
#endif
