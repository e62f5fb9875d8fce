#pragma once
// The evaluation text that the program carries, so that a run needs no file but the model.
#include <stddef.h>

// The bytes of Calibration/evaluation.txt.
extern const unsigned char cdt_evaluation_text[];
extern const size_t cdt_evaluation_text_size;
