#!/bin/bash
# Tries `innerloop sweep --submit` on a Slurm of one node that this script starts in a folder of its own, and stops again:
#     apt-get install slurm-wlm munge && scripts/slurm-trial.sh [PROGRAM]
# As root, on Debian or Ubuntu. The tables that the job array makes must be those of a sweep without Slurm, apart from times;
# a task that is interrupted by USR1, as before its time limit, must be queued again and end. The program is
# target/release/innerloop unless another one is named.
set -euo pipefail

program=$(realpath "${1:-target/release/innerloop}")
folder=$(mktemp -d)
host=$(hostname -s)
export SLURM_CONF="$folder/slurm.conf"

stop() {
    for name in slurmd slurmctld munged; do
        [ -f "$folder/$name.pid" ] && kill "$(cat "$folder/$name.pid")" 2>/dev/null || true
    done
    sleep 1
    rm -rf "$folder"
}
trap stop EXIT

# munge: messages between the programs carry a signature made with this key.
chmod 755 "$folder"
mkdir "$folder/munge"
chown munge:munge "$folder/munge"
(umask 077 && head -c 1024 /dev/urandom > "$folder/munge/key")
chown munge:munge "$folder/munge/key"
runuser -u munge -- munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
    --pid-file="$folder/munge/pid" --log-file="$folder/munge/log" --seed-file="$folder/munge/seed"
ln -s munge/pid "$folder/munged.pid"

cores=$(nproc)
cat > "$SLURM_CONF" <<END
ClusterName=trial
SlurmctldHost=$host
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=batch_sched_delay=1,sched_interval=2
ReturnToService=2
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
MailProg=/bin/true
NodeName=$host CPUs=$cores State=UNKNOWN
PartitionName=trial Nodes=$host Default=YES MaxTime=INFINITE State=UP
END
mkdir "$folder/state" "$folder/spool"
slurmctld -c
slurmd -c

wait_for() { # WHAT COMMAND…: at most two minutes
    local what=$1
    shift
    for _ in $(seq 240); do
        if "$@"; then return; fi
        sleep 0.5
    done
    echo "slurm-trial: $what did not happen" >&2
    squeue || true
    tail -n 20 "$folder"/slurm*.log >&2 || true
    exit 1
}
node_idle() { sinfo -h -o %T 2>/dev/null | grep -q idle; }
no_jobs() { [ -z "$(squeue -h 2>/dev/null)" ]; }
wait_for "an idle node" node_idle

cd "$folder"
sweep=(sweep first-look --vary task.context=4,6 --seeds 2 --steps 300 --device cpu)
untimed() { # the table without the columns that hold times
    python3 -c 'import csv, sys
rows = list(csv.reader(open(sys.argv[1])))
kept = [i for i, name in enumerate(rows[0]) if name not in ("elapsed_s", "steps_per_s")]
for row in rows: print(",".join(row[i] for i in kept))' "$1"
}

"$program" "${sweep[@]}" --out plain > /dev/null
"$program" "${sweep[@]}" --out array --submit --runs-per-task 2 --sbatch=--time=10
wait_for "the end of the job array" no_jobs
"$program" sweep --collect array
cmp <(untimed plain/results.csv) <(untimed array/results.csv)
echo "slurm-trial: the job array makes the same table"

# Interrupted: more steps, so that the signal comes while it trains.
"$program" sweep first-look --seeds 1 --steps 200000 --device cpu --out long --submit --sbatch=--time=10
running() { squeue -h -t R | grep -q .; }
wait_for "a running job" running
begun() { ls long/runs/*.ron > /dev/null 2>&1 || grep -q "to do" long/slurm/*.out 2>/dev/null; }
wait_for "the start of the run" begun
job=$(squeue -h -o %A | head -n 1)
scancel --signal=USR1 --batch "$job"
saved() { ls long/runs/*.ron > /dev/null 2>&1; }
wait_for "a save after USR1" saved
queued_again() { scontrol show job "$job" | grep -q "Restarts=[1-9]"; }
wait_for "the job in the queue again" queued_again
scancel "$job"
echo "slurm-trial: a job that USR1 interrupts is saved and queued again"
