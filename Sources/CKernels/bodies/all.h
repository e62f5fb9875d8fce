// One instruction set's functions and its table. The file that includes this defines CK(name), the primitives
// of its instruction set, CK_LANES, CK_TOKENS, CK_WIDE_OFFSET and CK_NAME. No include guard.
#include "unpack.h"
#include "multiply_rows.h"
#include "multiply_tile.h"
#include "multiply_float.h"
#include "product.h"
#include "elementwise.h"
#include "exponential.h"
#include "norms.h"
#include "encode_floats.h"
#include "attention.h"
#include "feedback.h"
#include "training.h"
#ifdef CK_HALF_ROWS
#include "half_rows.h"
#endif
