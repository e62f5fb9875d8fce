#pragma once
// Rounding to grids with error feedback, and coordinate descent on the result: a block of columns of many rows at a time.
//
// Column p of a row has the grid scale · level + offset of its group. Rows lie side by side: number (p, r) of an array is at
// p · rows + r. A code stands for the level nearest to (x − offset) · inverse; a tie of consecutive levels goes to the even
// one, NaN to the lowest.
#include <stddef.h>
#include <stdint.h>

// The most columns of a block.
#define CK_FEEDBACK_COLUMNS 64

typedef struct {
  const float *weights;  // columns × rows
  const float *kept;     // columns × rows: 1, or 0 for a weight that gets the code nearest to 0 in any case; null for all 1
  float *errors;         // columns × rows: weight − value
  uint8_t *codes;        // columns × rows
  float *shift;          // count × rows, of the block: what the errors of other columns come to
  float *changes;        // count × rows, of the block: what was added to its errors; ck_descend_block alone
  const float *matrix;   // columns × columns; row p starts at p · columns
  const uint32_t *groups;  // the group of each column
  const float *scales, *inverses, *offsets;  // groups × rows
  const float *levels;   // ascending
  size_t level_count;
  int is_uniform;        // whether levels are consecutive integers
  size_t start, count;   // the block: columns start … start + count − 1
  size_t rows;           // a multiple of 16
  size_t columns;
} ck_feedback;

// Rounds the block's columns from the last to the first, each to its weight + shift; the error of column p, times row p of
// the matrix, is then added to the shift of the block's columns before it.
void ck_round_block(const ck_feedback *block);

// For the block's columns from the last to the first: the code that is best with all others fixed, for errors e and a
// matrix H that cost e H eᵀ, `shift` being e H. Changes are taken only where they pay; returns how many there were.
size_t ck_descend_block(const ck_feedback *block);
