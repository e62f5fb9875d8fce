#pragma once
// OpenBLAS as Debian packages it: CBLAS, plus the few LAPACK names it exports without a header.
#include <cblas.h>

// Cholesky factorisation, inverse from the factor, inverse of a triangle (Fortran names; every argument by reference).
void spotrf_(const char *uplo, const int *n, float *a, const int *lda, int *info);
void strtri_(const char *uplo, const char *diag, const int *n, float *a, const int *lda, int *info);
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
void dpotri_(const char *uplo, const int *n, double *a, const int *lda, int *info);
void dtrtri_(const char *uplo, const char *diag, const int *n, double *a, const int *lda, int *info);
