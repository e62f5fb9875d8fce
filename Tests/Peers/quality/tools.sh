# Sets $llama to a folder of llama.cpp's own programs, built from the source that its Python package carries: the package has
# the library alone, and importance matrices are to come from the real program. The caller has set $python, $root and $here.
# LLAMA_PROGRAMS names a folder that has them already.
llama=${LLAMA_PROGRAMS:-$root/.venv/llama.cpp/bin}
if [ ! -x "$llama/llama-perplexity" ]; then
  built=$root/.venv/llama.cpp
  mkdir -p "$built"
  "$python" -m pip install --quiet cmake ninja scikit-build-core
  "$python" -m pip download --quiet --no-deps --no-build-isolation --no-binary llama-cpp-python --dest "$built" \
    "$(grep '^llama-cpp-python' "$here/requirements.txt")"
  tar -xzf "$built"/llama_cpp_python-*.tar.gz -C "$built"
  echo "building llama.cpp's programs: some minutes, once" >&2
  PATH=$(dirname "$python"):$PATH
  cmake -S "$built"/llama_cpp_python-*/vendor/llama.cpp -B "$built" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
    -DBUILD_SHARED_LIBS=OFF -DGGML_OPENMP=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF \
    -DLLAMA_BUILD_APP=OFF -DLLAMA_OPENSSL=OFF >"$built/build.log"
  cmake --build "$built" --target llama-imatrix llama-quantize llama-perplexity >>"$built/build.log"
fi
