#include "CDefaultText.h"

// #embed is C23; clang offers it in every C mode.
#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char evaluation_text[] = {
#embed "../../Calibration/evaluation.txt"
};

static const unsigned char calibration_text[] = {
#embed "../../Calibration/calibration.txt"
};

const unsigned char *cdt_evaluation_text(void) { return evaluation_text; }
size_t cdt_evaluation_text_size(void) { return sizeof evaluation_text; }
const unsigned char *cdt_calibration_text(void) { return calibration_text; }
size_t cdt_calibration_text_size(void) { return sizeof calibration_text; }
