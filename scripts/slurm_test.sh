#!/usr/bin/env bash
# The tests that need SLURM, on a cluster of this one machine that is brought up for them and taken
# down again, however they end. Where there can be none they are skipped, with the reason. Eight
# processors are announced, whatever there is, so that all jobs of a test run side by side.
set -euo pipefail
cd "$(dirname "$0")/.."
export SLURM_CPUS=${SLURM_CPUS:-8} SLURM_PORT=${SLURM_PORT:-16817}
export SLURM_FOLDER=${SLURM_FOLDER:-${TMPDIR:-/tmp}/e2eve-slurm-test}
scripts/slurm_down.sh  # what a killed run may have left
trap scripts/slurm_down.sh EXIT
if ! scripts/slurm_up.sh; then
  echo "The tests that need SLURM are skipped: there is none, for the reason above." >&2
  exit 0
fi
. "$SLURM_FOLDER/env.sh"
.venv/bin/python -m pytest -m slurm -rs --durations=5 tests/slurm "$@"
