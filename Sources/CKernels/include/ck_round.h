#pragma once
// Rows of floats to stored rows where nothing is known about the columns: rounding as fast as memory allows, or nearly so.
#include <stddef.h>
#include <stdint.h>

// Whether ck_round_row writes the format (CK_Q4_0 …).
int ck_rounds(int format);

// Stores `count` finite weights, a multiple of the format's block, as `format`.
//
// q8_0 is ggml's definition byte for byte. The others minimise Σ w·(x − y)², y being what a reader decodes, over a few
// clippings of each group and, where groups share scales, a few of those, with
//   q4_0, q5_0:        w = 1.4·a² + x², a the root mean square of the block
//   q4_k, q5_k, q6_k:  w = a + |x|, a that of the group
// The error is about that of the searches of ck_encode.h without importance. A block's scale that is too large for half
// precision is stored as ±65504, one too small gives zeros. Results do not depend on the instruction set.
void ck_round_row(int format, const float *x, size_t count, void *bytes);
