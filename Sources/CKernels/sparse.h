#pragma once
// Half rows: of each 256 weights eight half-precision scales, 128 places of two bits, 128 codes.
#include <stddef.h>

enum { CK_HALF_PLACES = 16, CK_HALF_CODES = 48, CK_HALF_BYTES = 176 };

// For processors with AVX-512 VBMI and VBMI2.
void ck_expand_row_vbmi(const void *half, size_t columns, void *row);
void ck_multiply_half_rows_vbmi(const void *rows, size_t row_count, size_t columns, const void *records,
                                size_t tokens, float *y, size_t y_stride);
