#pragma once
// What the machine can do at most: loops that only read, or only multiply and add. They serve to measure, and have a table
// of their own: the instruction set is the widest that the processor has for each kind, whatever the other kernels use.
#include <stddef.h>
#include <stdint.h>

// The sum of the 64-bit words of `count` bytes (a multiple of 64), modulo 2⁶⁴. The bytes may lie anywhere.
uint64_t ck_machine_read(const void *bytes, size_t count);

// The kinds of multiply and add.
enum { CK_PEAK_F32, CK_PEAK_BF16, CK_PEAK_INT8, CK_PEAK_KINDS };

// The instructions that a kind runs on: "fma, avx512f" …; NULL where the processor has none.
const char *ck_machine_peak_name(int kind);
// The multiplications and additions of one round.
double ck_machine_peak_operations(int kind);
// Runs `rounds` rounds of y += x · 1 over independent registers, all of whose lanes start at 0, and returns the sum of the
// lanes: x · operations / 2 · rounds where nothing is rounded. x is a whole number from 1 to 100.
double ck_machine_peak(int kind, int x, size_t rounds);

// Switches the calling thread to the scalar twins, or back to what the processor has (for tests).
void ck_machine_select_scalar(int scalar);

// Has the C library give memory of a megabyte and more back to the system as soon as it is freed. Its own limit for that grows
// with what is freed, up to 32 MiB, so that matrices which come and go end up in heaps that only grow. Nothing where the
// library has no such setting.
void ck_give_back_memory(void);
