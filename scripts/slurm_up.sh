#!/usr/bin/env bash
# A real SLURM cluster of this one machine, from Debian's packages, without systemd and, once they
# are installed, without root. Everything lies below $SLURM_FOLDER; only 127.0.0.1 is listened on.
#   scripts/slurm_up.sh && . "${SLURM_FOLDER:-/tmp/e2eve-slurm}/env.sh" && srun hostname
# Partitions: main, whose jobs are requeued when one of `high` wants their place.
set -euo pipefail

folder=${SLURM_FOLDER:-/tmp/e2eve-slurm}
port=${SLURM_PORT:-6817}          # of slurmctld; slurmd takes the next one
cpus=${SLURM_CPUS:-$(nproc)}      # may be more than there are
# Seconds before a requeued job may start again, which is how long credentials live: 120 by default.
hold=${SLURM_HOLD:-10}

say() { echo "slurm_up: $*" >&2; }
fail() { say "$*"; exit 1; }
# Whether the process of a pid file is alive, bears that name and was started with our files.
alive() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ] &&
    tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$folder"
}

# 1. Programs, which are not where everybody looks. Debian's services are left alone.
export PATH=$PATH:/usr/sbin:/sbin
installed() {
  local program
  for program in slurmctld slurmd munged srun sbatch; do
    command -v "$program" >/dev/null || return 1
  done
}
if ! installed; then
  command -v apt-get >/dev/null || fail "SLURM is not installed, and there is no apt-get to do it."
  as_root=""
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || fail "SLURM is not installed, and only root can do that."
    as_root="sudo -n"
  fi
  say "installing slurm and munge"
  quietly="env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1"
  { $as_root $quietly apt-get update -qq && $as_root $quietly apt-get install -y -qq \
    --no-install-recommends slurmctld slurmd slurm-client munge >/dev/null && installed; } ||
    fail "SLURM could not be installed."
fi

# 2. Folders, and the key that lets the daemons trust each other.
umask 022
mkdir -p "$folder"/{etc,log,run,state,spool} && mkdir -p -m 0700 "$folder/munge"
folder=$(cd "$folder" && pwd -P)
host=$(hostname -s)
socket=$folder/run/munge.socket
[ -s "$folder/munge/key" ] || (umask 077 && head -c 1024 /dev/urandom >"$folder/munge/key")

# 3. munged.
if ! alive "$folder/run/munged.pid" munged; then
  rm -f "$socket" "$socket.lock" "$folder/run/munged.pid"
  munged --key-file="$folder/munge/key" --socket="$socket" --pid-file="$folder/run/munged.pid" \
    --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed" ||
    fail "munged did not start, see $folder/log."
fi

# 4. What the cluster is.
memory=$(awk '/MemTotal/ {printf "%d", $2 / 1024 * 0.9}' /proc/meminfo)
cat >"$folder/etc/slurm.conf" <<CONF
ClusterName=e2eve
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$socket,cred_expire=$hold
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
# Without cgroups, MPI and accounting.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
# Jobs take processors and memory, and are looked at often.
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=512
SchedulerParameters=batch_sched_delay=0,sched_interval=3,bf_interval=3
# Requeued when preempted, after a signal of their own choice.
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
KillWait=3
MinJobAge=3600
ReturnToService=2
SlurmdParameters=config_overrides
UnkillableStepTimeout=60
NodeName=$host NodeAddr=127.0.0.1 NodeHostname=$host CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$host Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=${SLURM_GRACE:-60} State=UP
PartitionName=high Nodes=$host PriorityTier=10 PreemptMode=OFF State=UP
CONF
cat >"$folder/env.sh" <<ENV
export SLURM_CONF=$folder/etc/slurm.conf
export SLURM_FOLDER=$folder
ENV
. "$folder/env.sh"

# 5. The other daemons, and a node that is ready.
alive "$folder/run/slurmctld.pid" slurmctld || slurmctld -f "$SLURM_CONF" ||
  fail "slurmctld did not start."
alive "$folder/run/slurmd.pid" slurmd || slurmd -f "$SLURM_CONF" -N "$host" ||
  fail "slurmd did not start."
for _ in $(seq 240); do
  state=$(timeout 5 sinfo --noheader --partition=main --format=%T 2>/dev/null || true)
  case $state in
    idle | mixed | allocated) say "$host is $state, $cpus processors"; exit 0 ;;
    down* | drain*) timeout 5 scontrol update NodeName="$host" State=RESUME 2>/dev/null || true ;;
  esac
  sleep 0.25
done
fail "the node did not become ready (${state:-no answer}), see $folder/log."
