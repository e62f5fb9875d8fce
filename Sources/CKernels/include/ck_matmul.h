#pragma once
// Matrix products with weights in their stored form.
//
// A block format is seen as unsigned codes u with a scale s and an offset m for each group of 16 or 32:
// w = s·u + m. Activations become int8 codes a with one scale d for each block of 32. A block's share of a
// product is then d·(s·Σ u·a + m·Σ a), where the sums are exact integers on every instruction set; the floats
// are added in one fixed order for each row and token (ck_multiply_tile: block after block; ck_multiply_rows: in
// eight lanes and four turns, or on x86, for formats of nibbles, 256 columns after 256). So a result never depends on
// threads, on other tokens, or on how rows are cut.
#include <stddef.h>
#include <stdint.h>

// From this number of tokens on, ck_multiply_tile beats ck_multiply_rows.
#define CK_TILE_TOKENS 4

// The bytes of the record that holds one token's quantized activations; `columns` is a multiple of 32.
size_t ck_activation_bytes(size_t columns);

// Quantizes x[columns] into `record` (64-byte aligned): per block of 32, d = max|x| / 127 and
// a = x · (127 / max|x|) rounded to nearest even; a block of zeros has d = 0, one with a NaN or an infinity
// d = NaN. The codes are the same on every instruction set.
void ck_quantize_activations(const float *x, size_t columns, void *record);

// The same with one scale for the whole token, which is returned and not in the record: its blocks have d = 1, so that
// products with rows of scale 1 are the integers Σ c·a themselves, exact as long as they and what they are added up
// from stay below 2²⁴, and rounded as floats beyond. Zeros give 0; a NaN or an infinity gives NaN.
float ck_quantize_token(const float *x, size_t columns, void *record);

// y[t · y_stride + r] for r < row_count, from `tokens` consecutive records: row by row, made for few tokens.
// `format` is a block format (CK_Q4_0 …); row r starts at rows + r · row_bytes, with any alignment.
void ck_multiply_rows(int format, const void *rows, size_t row_bytes, size_t row_count, size_t columns,
                      const void *records, size_t tokens, float *y, size_t y_stride);

// The bytes of scratch that ck_multiply_tile needs.
size_t ck_tile_scratch_bytes(size_t columns);

// The same product for many tokens: rows are unpacked once, into `scratch` (64-byte aligned), and reused.
void ck_multiply_tile(int format, const void *rows, size_t row_bytes, size_t row_count, size_t columns,
                      const void *records, size_t tokens, float *y, size_t y_stride, void *scratch);

// Half rows: rows of q8_0 blocks of which no four neighbours, from a multiple of four on, have more than two codes other than zero,
// as after pruning to 2:4. They take 5.5 bits a weight: of each 256 weights eight scales, 128 places of two bits, 128 codes.

// The bytes of a half row; `columns` is a multiple of 256.
size_t ck_half_row_bytes(size_t columns);

// Stores a row of q8_0 blocks as a half row; 0 where it has too many codes, and `half` holds nothing of use.
int ck_halve_row(const void *row, size_t columns, void *half);

// The inverse.
void ck_expand_row(const void *half, size_t columns, void *row);

// 1 where products with half rows are faster than with whole ones: with every instruction set but the scalar one.
int ck_multiplies_halves(void);

// ck_multiply_rows for consecutive half rows: lane l of four sums collects the codes 4l … 4l + 3 of the 32 of every 64 columns.
void ck_multiply_half_rows(const void *rows, size_t row_count, size_t columns, const void *records,
                           size_t tokens, float *y, size_t y_stride);

// The same for float formats (CK_F64 … CK_F8_E5M2) and activations x[t · columns] that are CK_F32 or CK_F16 by `x_format`; `scratch`
// holds `columns` floats. Products and sums are in single precision.
void ck_multiply_float_rows(int format, const void *rows, size_t row_bytes, size_t row_count, size_t columns,
                            int x_format, const void *x, size_t tokens, float *y, size_t y_stride, float *scratch);

// Stores one token's activations as half-precision numbers, times a power of two that brings the largest magnitude to at least 2^14:
// numbers down to 2^-28 of it keep 11 bits. Returns what results are to be multiplied with. Half as many bytes stay in the first-level
// cache while rows stream through it.
float ck_halve_activations(const float *x, size_t columns, void *halves);

// 1 where ck_multiply_bf16 works: on processors that multiply pairs of bfloat16 numbers, with their instruction set.
int ck_multiplies_bf16(void);

// The bytes that one token's activations take as bfloat16 numbers, zeros behind the last.
size_t ck_bf16_activation_bytes(size_t columns);

// The bytes of scratch that ck_multiply_bf16 needs.
size_t ck_bf16_scratch_bytes(size_t columns);

// y[t · y_stride + r] for rows of bfloat16 numbers and activations that were rounded to bfloat16 (64-byte aligned, see
// ck_bf16_activation_bytes). Products are exact, sums in single precision, two columns at a time; subnormal numbers
// count as zero. `scratch` is 64-byte aligned.
void ck_multiply_bf16(const void *rows, size_t row_bytes, size_t row_count, size_t columns, const void *x,
                      size_t tokens, float *y, size_t y_stride, void *scratch);
