// Vectors of fixed width that the compiler maps to the registers of each instruction set. No include guard.
typedef float CK(f16v) __attribute__((vector_size(64)));
typedef int32_t CK(i16v) __attribute__((vector_size(64)));
typedef uint32_t CK(u16v) __attribute__((vector_size(64)));
typedef double CK(d16v) __attribute__((vector_size(128)));
typedef int8_t CK(b16v) __attribute__((vector_size(16)));
typedef uint8_t CK(u16b) __attribute__((vector_size(16)));
typedef uint16_t CK(u8h) __attribute__((vector_size(16)));
typedef uint8_t CK(u32v) __attribute__((vector_size(32)));
typedef float CK(f8v) __attribute__((vector_size(32)));
typedef int32_t CK(i8v) __attribute__((vector_size(32)));

// Functions that take these vectors are always inlined, so how they would be passed does not matter.
#pragma clang diagnostic ignored "-Wpsabi"
#define CK_INLINE static inline __attribute__((always_inline))

CK_INLINE CK(f16v) CK(load)(const float *x) {
  CK(f16v) v;
  __builtin_memcpy(&v, x, 64);
  return v;
}

CK_INLINE void CK(store)(float *x, CK(f16v) v) { __builtin_memcpy(x, &v, 64); }

// The first `count` (below 16) of 16 floats; the others are `filler`.
CK_INLINE CK(f16v) CK(load_part)(const float *x, size_t count, float filler) {
  float part[16];
  for (int i = 0; i < 16; i++) part[i] = filler;
  for (size_t i = 0; i < count; i++) part[i] = x[i];
  return CK(load)(part);
}

CK_INLINE void CK(store_part)(float *x, CK(f16v) v, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] = v[i];
}

CK_INLINE float CK(sum16)(CK(f16v) v) {
  CK(f8v) a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7)
              + __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

CK_INLINE double CK(sum16d)(CK(d16v) v) {
  double a[8];
  for (int i = 0; i < 8; i++) a[i] = v[i] + v[i + 8];
  return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

CK_INLINE CK(d16v) CK(widen)(CK(f16v) v) { return __builtin_convertvector(v, CK(d16v)); }

// mask lanes are 0 or −1.
CK_INLINE CK(f16v) CK(select)(CK(i16v) mask, CK(f16v) a, CK(f16v) b) {
  return (CK(f16v))((mask & (CK(i16v))a) | (~mask & (CK(i16v))b));
}
