// AVX2 with FMA and F16C.
#if defined(__x86_64__) || defined(CK_SIMDE)
#include "kernels.h"
#include "sparse.h"
#if defined(CK_SIMDE)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#else
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#endif

#define CK(name) name##_avx2
#define CK_NAME "avx2"
#define CK_LANES 8
#define CK_TOKENS 4
#define CK_PRODUCT_ROWS 6
#define CK_PRODUCT_VECTORS 2
#define CK_PRODUCT_LANES 8
#define CK_WIDE_OFFSET 0
#define CK_TILES_256 1
#define CK_ROWS_8 1
#define CK_TURNS_8 1
#define CK_HALF_ROWS 1
#include "bodies/types.h"
#include "bodies/x86.h"

// Products of codes below 2^bits with activations of at most ±127 leave room in 16 bits for `chain` pairs.
CK_INLINE int CK(chain)(const int kind) { return kind == CK_KIND_4 ? 8 : kind == CK_KIND_5 ? 4 : 2; }

#include "bodies/half_rows_256.h"
#include "bodies/all.h"
#if !defined(CK_SIMDE)
#pragma clang attribute pop
#endif
#include "bodies/table.h"
#endif
