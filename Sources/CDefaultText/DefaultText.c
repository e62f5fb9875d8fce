#include "CDefaultText.h"

// #embed is C23; clang offers it in every C mode.
#pragma clang diagnostic ignored "-Wc23-extensions"

const unsigned char cdt_evaluation_text[] = {
#embed "../../Calibration/evaluation.txt"
};
const size_t cdt_evaluation_text_size = sizeof cdt_evaluation_text;
