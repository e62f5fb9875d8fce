# Sets $python to one that has requirements.txt, for the scripts beside it; they have set $here and $root.
# PEER_PYTHON names it; without it a virtual environment is made in .venv/.
python=${PEER_PYTHON:-}
if [ -z "$python" ]; then
  python=$root/.venv/bin/python
  [ -x "$python" ] || python3 -m venv "$root/.venv"
  "$python" -m pip install --quiet --requirement "$here/requirements.txt"
fi
