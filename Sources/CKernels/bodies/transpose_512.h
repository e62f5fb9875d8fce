// Squares of 16 by 16 words, for AVX-512. No include guard.

typedef uint32_t CK(ck_w16v) __attribute__((vector_size(64)));

// Exchanges words between rows: those of `a` and `b` at distance `step` (1, 2, 4, 8), as in a square's halves.
#define CK_EXCHANGE(I, J, A, B) \
  do { \
    CK(ck_w16v) first = v[I], second = v[J]; \
    v[I] = A(first, second); \
    v[J] = B(first, second); \
  } while (0)
#define CK_LOW_1(a, b) \
  __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
#define CK_HIGH_1(a, b) \
  __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31)
#define CK_LOW_2(a, b) \
  __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define CK_HIGH_2(a, b) \
  __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define CK_LOW_4(a, b) \
  __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
#define CK_HIGH_4(a, b) \
  __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31)
#define CK_LOW_8(a, b) \
  __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#define CK_HIGH_8(a, b) \
  __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)
#define CK_ROUND(STEP) \
  _Pragma("clang loop unroll(full)") for (int i = 0; i < 16; i++) { \
    if (!(i & STEP)) CK_EXCHANGE(i, (i | STEP), CK_LOW_##STEP, CK_HIGH_##STEP); \
  }

// Word j of vector i becomes word i of vector j.
CK_INLINE void CK(transpose)(CK(ck_w16v) *v) {
  CK_ROUND(1)
  CK_ROUND(2)
  CK_ROUND(4)
  CK_ROUND(8)
}

#undef CK_EXCHANGE
#undef CK_LOW_1
#undef CK_HIGH_1
#undef CK_LOW_2
#undef CK_HIGH_2
#undef CK_LOW_4
#undef CK_HIGH_4
#undef CK_LOW_8
#undef CK_HIGH_8
#undef CK_ROUND
