#pragma once
#include "ck_hash.h"

extern const uint32_t ck_sha256_constants[64];

// The most streams that a body takes at once.
enum { CK_SHA256_MOST = 3 };

int ck_sha256_has_x86(void);
void ck_sha256_x86(uint32_t *const *states, const uint8_t *const *data, size_t streams, size_t blocks);
int ck_sha256_has_arm(void);
void ck_sha256_arm(uint32_t *const *states, const uint8_t *const *data, size_t streams, size_t blocks);
