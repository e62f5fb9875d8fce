# Sets $torch to a Python that has torch-requirements.txt, or to nothing, saying so: the bars then go without GPTQ, AWQ and
# AutoRound. TORCH_PYTHON names one; `TORCH_PYTHON=none` asks for none.
torch=${TORCH_PYTHON:-$root/.venv-torch/bin/python}
if [ "$torch" = none ]; then
  torch=
elif [ -z "${TORCH_PYTHON:-}" ]; then
  [ -x "$torch" ] || python3 -m venv "$root/.venv-torch"
  if ! "$torch" -m pip install --quiet --requirement "$here/quality/torch-requirements.txt"; then
    echo "SKIPPED: GPTQ, AWQ and AutoRound cannot be installed here" >&2
    torch=
  fi
fi
