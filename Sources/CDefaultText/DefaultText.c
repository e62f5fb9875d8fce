#include "CDefaultText.h"

// #embed is C23; clang offers it in every C mode.
#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char evaluation_text[] = {
#embed "../../Calibration/evaluation.txt"
};

const unsigned char *cdt_evaluation_text(void) { return evaluation_text; }
size_t cdt_evaluation_text_size(void) { return sizeof evaluation_text; }
