#pragma once
// Half rows: of each 256 weights eight half-precision scales, 128 places of two bits, 128 codes.
#include <stddef.h>
#include <stdint.h>

enum { CK_HALF_PLACES = 16, CK_HALF_CODES = 48, CK_HALF_BYTES = 176 };

// Of a byte with the places of four codes: for each of eight columns (the lowest byte first) which of the codes it has, 0x80 for none.
extern const uint64_t ck_half_spread[256];
// Of the same byte: a bit for each of the eight columns that has one.
extern const uint8_t ck_half_masks[256];

// The definitions.
void ck_expand_row_scalar(const void *half, size_t columns, void *row);
void ck_multiply_half_rows_scalar(const void *rows, size_t row_count, size_t columns, const void *records,
                                  size_t tokens, float *y, size_t y_stride);

// For processors with AVX-512 VBMI and VBMI2.
void ck_expand_row_vbmi(const void *half, size_t columns, void *row);
void ck_multiply_half_rows_vbmi(const void *rows, size_t row_count, size_t columns, const void *records,
                                size_t tokens, float *y, size_t y_stride);
