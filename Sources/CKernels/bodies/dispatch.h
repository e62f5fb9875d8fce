#pragma once
// Which of the compiled bodies the codecs' functions call.

// Whether the AVX2 bodies are to be used (0 elsewhere than on x86-64).
int ck_uses_avx2(void);
// Whether the AVX-512 bodies (F, BW, DQ, VL) are to be used.
int ck_uses_avx512(void);
