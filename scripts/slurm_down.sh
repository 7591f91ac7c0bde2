#!/usr/bin/env bash
# End what slurm_up.sh has started, and nothing else; jobs are cancelled first.
set -uo pipefail

folder=${SLURM_FOLDER:-/tmp/e2eve-slurm}
[ -d "$folder" ] || exit 0
folder=$(cd "$folder" && pwd -P)
export SLURM_CONF=$folder/etc/slurm.conf

# Whether a process is alive, bears that name and was started with our files.
ours() {
  [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ] &&
    tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF -- "$folder"
}
end() {
  local file=$folder/run/$1.pid pid
  if pid=$(cat "$file" 2>/dev/null) && ours "$pid" "$1"; then
    kill "$pid"
    # The process may still write when its pid file is gone.
    for _ in $(seq 150); do ours "$pid" "$1" || break; sleep 0.1; done
    if ours "$pid" "$1"; then kill -9 "$pid"; fi
  fi
  rm -f "$file"
}

if pid=$(cat "$folder/run/slurmctld.pid" 2>/dev/null) && ours "$pid" slurmctld; then
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
