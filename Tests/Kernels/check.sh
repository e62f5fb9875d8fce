#!/usr/bin/env bash
# Compares the AVX2, AVX-512 and NEON bodies with the scalar twin on any processor: all three through SIMDe,
# and NEON for real in QEMU. What needs a tool that is missing is skipped, and said so.
set -euo pipefail
cd "$(dirname "$0")/../../Sources/CKernels"
clang="${CLANG:-clang}"
if ! command -v "$clang" >/dev/null; then echo "SKIPPED: comparing kernels needs clang"; exit 0; fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# Compiles the sources and the comparison with the given options into $work/$1.
compile() {
  local folder="$work/$1" job
  shift
  mkdir "$folder"
  for source in scalar x86_avx2 x86_avxvnni x86_avx512 arm_neon Kernels decode round sparse sha256 x86_sha arm_sha x86_vbmi ../../Tests/Kernels/compare; do
    "$clang" -std=c17 "$@" -Iinclude -c "$source.c" -o "$folder/$(basename "$source").o" &
  done
  for job in $(jobs -p); do wait "$job"; done
}

if echo '#include <simde/x86/avx512.h>' | "$clang" -fsyntax-only -xc - 2>/dev/null; then
  compile simde -O1 -w -DCK_SIMDE -DSIMDE_NO_NATIVE
  "$clang" "$work"/simde/*.o -lm -o "$work/compare"
  "$work/compare"
else
  echo "SKIPPED: comparing AVX-512 and NEON kernels needs SIMDe (libsimde-dev)"
fi

# libc6-dev-arm64-cross libgcc-12-dev-arm64-cross binutils-aarch64-linux-gnu qemu-user
root=/usr/aarch64-linux-gnu
gcc="$(find /usr/lib/gcc-cross/aarch64-linux-gnu -name libgcc.a 2>/dev/null | head -1 || true)"
if [ -n "$gcc" ] && command -v qemu-aarch64 aarch64-linux-gnu-ld >/dev/null; then
  compile arm --target=aarch64-linux-gnu --sysroot=$root -isystem $root/include -O2 -Wall -Wextra -Werror
  aarch64-linux-gnu-ld -static $root/lib/crt1.o $root/lib/crti.o "$work"/arm/*.o -L$root/lib \
    -L"$(dirname "$gcc")" -lm --start-group -lc -lgcc -lgcc_eh --end-group $root/lib/crtn.o -o "$work/compare"
  echo "on aarch64 (QEMU):"
  qemu-aarch64 -cpu max "$work/compare"
else
  echo "SKIPPED: running NEON kernels needs an aarch64 sysroot, binutils and qemu-aarch64"
fi
