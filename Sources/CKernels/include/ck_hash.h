#pragma once
// SHA-256 (FIPS 180-4) of several streams of bytes at once: a round waits for the one before it, so a processor that has
// instructions for rounds does two or three streams in little more than the time of one.
#include <stddef.h>
#include <stdint.h>

// Takes `blocks` blocks of 64 bytes of each of `streams` streams into its state of eight words. The states are different
// ones; data may lie anywhere.
void ck_sha256(uint32_t *const *states, const uint8_t *const *data, size_t streams, size_t blocks);

// The instructions that it runs on the calling thread: "sha-ni", "arm-sha2" or "scalar".
const char *ck_sha256_name(void);
