#pragma once
// The texts that the program carries, so that a run needs no file but the model.
#include <stddef.h>

// The first byte of Calibration/evaluation.txt, valid as long as the program runs.
const unsigned char *cdt_evaluation_text(void);
// The number of its bytes.
size_t cdt_evaluation_text_size(void);

// The first byte of Calibration/calibration.txt, valid as long as the program runs.
const unsigned char *cdt_calibration_text(void);
// The number of its bytes.
size_t cdt_calibration_text_size(void);
