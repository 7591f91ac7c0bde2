#!/usr/bin/env bash
# End what slurm_up.sh has started, and nothing else; jobs are cancelled first.
set -uo pipefail

folder=${SLURM_FOLDER:-/tmp/e2eve-slurm}
[ -d "$folder" ] || exit 0
folder=$(cd "$folder" && pwd -P)
export SLURM_CONF=$folder/etc/slurm.conf

alive() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ] &&
    tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$folder"
}
end() {
  local file=$folder/run/$1.pid
  if alive "$file" "$1"; then
    kill "$(cat "$file")"
    for _ in $(seq 150); do alive "$file" "$1" || break; sleep 0.1; done
    if alive "$file" "$1"; then kill -9 "$(cat "$file")"; fi
  fi
  rm -f "$file"
}

if alive "$folder/run/slurmctld.pid" slurmctld; then
  jobs=$(timeout 10 squeue --noheader --format=%A 2>/dev/null | sort -u)
  # shellcheck disable=SC2086  # one argument a job
  [ -z "$jobs" ] || timeout 10 scancel $jobs 2>/dev/null
  for _ in $(seq 60); do
    [ -n "$(timeout 5 squeue --noheader --format=%A 2>/dev/null)" ] || break
    sleep 0.5
  done
fi
end slurmd
end slurmctld
end munged
rm -rf -- "$folder"
