// AVX2 with FMA and F16C, and products of bytes from AVX-VNNI.
#if defined(__x86_64__) || defined(CK_SIMDE)
#include "kernels.h"
#include "sparse.h"
#if defined(CK_SIMDE)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512/dpbusd.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#else
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avxvnni"))), apply_to = function)
#endif

#define CK(name) name##_avxvnni
#define CK_NAME "avx-vnni"
#define CK_LANES 8
#define CK_TOKENS 6
#define CK_PRODUCT_ROWS 6
#define CK_PRODUCT_VECTORS 2
#define CK_PRODUCT_LANES 8
#define CK_WIDE_OFFSET 128  // int8 codes are packed as c + 128: vpdpbusd takes unsigned codes
#define CK_TILES_256 1
#define CK_ROWS_8 1
#define CK_TURNS_8 1
#define CK_HALF_ROWS 1
#define CK_VNNI 1
#if defined(CK_SIMDE)
#define CK_DPBUSD _mm256_dpbusd_epi32
#else
#define CK_DPBUSD _mm256_dpbusd_avx_epi32
#endif
#include "bodies/types.h"
#include "bodies/x86.h"

#include "bodies/half_rows_256.h"
#include "bodies/all.h"
#if !defined(CK_SIMDE)
#pragma clang attribute pop
#endif
#include "bodies/table.h"
#endif
