#pragma once
// Products of float matrices, in single precision.
//
// An element of the result is the sum over `inner` in ascending order, fused multiply-adds where the processor has them, in
// parts of 256 that are added to what is there. So it does not depend on how rows and columns are cut into pieces.
#include <stddef.h>
#include <stdint.h>

// C += alpha · A · B. Element (i, k) of A is a[i · a_row + k · a_column], likewise B; rows of C lie c_row apart.
typedef struct {
  const float *a, *b;
  float *c;
  size_t a_row, a_column, b_row, b_column, c_row;
  size_t rows, inner, columns;
  float alpha;
} ck_product;

// The bytes of scratch that ck_add_product needs for any product.
size_t ck_product_scratch_bytes(void);

// Adds a product on the calling thread; `scratch` is 64-byte aligned.
void ck_add_product(const ck_product *product, void *scratch);

// Rounds two rows to bfloat16 and lays them side by side: pairs[i] has even[i] in its low half, odd[i] in its high one, zero
// where `odd` is null. Where ck_multiplies_bf16() alone, as the next.
void ck_pair_bf16(const float *even, const float *odd, uint32_t *pairs, size_t count);

// The same product where each element of A and B is such a pair, and a product of two is the sum of both products: exact
// products, sums in single precision, subnormal numbers counting as zero. So half of the depth does for all.
void ck_add_pair_product(const ck_product *product, void *scratch);
