// AVX-512 (F, BW, DQ, VL) with VNNI.
#if defined(__x86_64__) || defined(CK_SIMDE)
#include "kernels.h"
#if defined(CK_SIMDE)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#else
#include <immintrin.h>
#pragma clang attribute push( \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"))), apply_to = function)
#endif

#define CK(name) name##_avx512
#define CK_NAME "avx512-vnni"
#define CK_LANES 16
#define CK_TOKENS 8
#define CK_PRODUCT_ROWS 12
#define CK_PRODUCT_VECTORS 2
#define CK_PRODUCT_LANES 16
#define CK_ROWS_512 1
#define CK_ROWS_8 1
#define CK_DPBUSD _mm256_dpbusd_epi32
#define CK_WIDE_OFFSET 128  // int8 codes are packed as c + 128: vpdpbusd takes unsigned codes
#include "bodies/types.h"
#include "bodies/x86.h"

#include "bodies/all.h"
#if !defined(CK_SIMDE)
#pragma clang attribute pop
#endif
#include "bodies/table.h"
#endif
