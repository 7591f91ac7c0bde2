#!/usr/bin/env bash
# Imports every module and passes the quick tests with the newest Python of pyproject.toml, in an
# environment of its own (.venv-newest, kept for the next time). Where that Python is not installed,
# one line says so. NEWEST names another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/.*Python :: \(3\.[0-9]*\)".*/\1/p' pyproject.toml | tail -1)
found=
for python in ${NEWEST:-"python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python}; do
  "$python" -c "" 2>/dev/null && found=$python && break
done
if [ -z "$found" ]; then
  echo "Tests with Python $version are skipped: it is not installed." >&2
  exit 0
fi
make quick PYTHON="$found" VENV=.venv-newest
