#!/usr/bin/env bash
# All that needs a GPU, in one command: whether it computes what the processor computes, whether two runs give the same bits, whether
# errors are errors, what `--device auto` chooses, and how fast it is beside JAX and PyTorch. Prints checks and a table, writes the
# section "On a GPU" of benches/RESULTS.md, and fails if a check fails.
#
#     benches/gpu.sh                                      on a machine with a GPU, the CUDA toolkit and python3
#     TIME_LIMIT=480 benches/gpu.sh                       the same where the machine is lent for ten minutes
#     DEVICE=cpu BATCHES=64 SECONDS_EACH=.2 benches/gpu.sh    without a GPU, to try the script out
#
# Checks take about two minutes after the build. The table then takes what is left of TIME_LIMIT (3600 seconds, the build not
# included), the most important numbers first: this program on the GPU, JAX, this program on the processor, PyTorch compiled with CUDA
# graphs, PyTorch as it is. A number that was not reached is "–". JAX and PyTorch are measured where PYTHON has them.
# DEVICE, BATCHES, PRESETS, CORES, SECONDS_EACH, TIME_LIMIT and PYTHON may be set. CORES (16) are what the program may use of the
# processor.
set -uo pipefail
cd "$(dirname "$0")/.."

DEVICE=${DEVICE:-cuda:0}
TIME_LIMIT=${TIME_LIMIT:-3600}
PYTHON=${PYTHON:-python3}
cores=$(nproc)
RAYON_NUM_THREADS=$((cores < ${CORES:-16} ? cores : ${CORES:-16}))
export DEVICE RAYON_NUM_THREADS
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

report() { # report NAME WORDS…: one line of the checks
    printf '%-44s %s\n' "$1" "${*:2}"
}

check() { # check NAME COMMAND…: a command that must succeed
    local name=$1 && shift
    if "$@" >"$work/out" 2>&1; then
        report "$name" passed
    else
        report "$name" FAILED
        { grep -m 4 -- '=========' "$work/out"; tail -n 5 "$work/out"; } | sed 's/^/    /'
        failed=1
    fi
}

beside() { # beside NAME COMMAND…: a check that runs beside others, and is reported by `gather`
    local name=$1 to
    to=$(mktemp -d "$work/beside.XXXXXX") && shift
    printf '%s' "$name" >"$to/name"
    { "$@" >"$to/out" 2>&1; echo $? >"$to/code"; } &
}

gather() { # waits for the checks of `beside`, and reports them
    wait
    local to
    for to in "$work"/beside.*; do
        [ -e "$to/name" ] || continue
        check "$(cat "$to/name")" sh -c "cat '$to/out'; exit $(cat "$to/code")"
        rm -r "$to"
    done
}

refused() { # refused PATTERN COMMAND…: a command that must fail with exit code 1 and one clear line
    local pattern=$1 && shift
    "$@" >"$work/out" 2>&1
    [ $? -eq 1 ] && grep -q -- "$pattern" "$work/out" && ! grep -q panicked "$work/out"
}

filled() { # filled MIB COMMAND…: a command while all but so much of the GPU's memory is taken
    local free=$1 && shift
    "$PYTHON" - "$DEVICE" "$work/held" "$free" 2>"$work/err" <<'PY' &
import sys, time, torch
free, _ = torch.cuda.mem_get_info(sys.argv[1])
held = torch.empty(free - (int(sys.argv[3]) << 20), dtype=torch.uint8, device=sys.argv[1])
open(sys.argv[2], "w").close()
time.sleep(600)
PY
    local holder=$! result=1
    until [ -e "$work/held" ] || ! kill -0 "$holder" 2>/dev/null; do sleep 0.2; done
    if [ -e "$work/held" ]; then
        "$@"
        result=$?
    fi
    kill "$holder" 2>/dev/null
    wait "$holder" 2>/dev/null
    rm -f "$work/held"
    return $result
}

number() { # number FIELD FILE: a number of the JSON object
    sed -n "s/.*\"$1\":\([-0-9.e+]*\).*/\1/p" "$2"
}

near() { # near A B: within a relative difference of 1e-3
    awk -v a="$1" -v b="$2" 'BEGIN { d = a / b - 1; exit !(d < 1e-3 && d > -1e-3) }'
}

features=()
[ "$DEVICE" = cpu ] || features=(--features cuda)
echo "== machine"
nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader 2>/dev/null || echo 'no nvidia-smi'
nvcc --version 2>/dev/null | tail -n 1
echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1), $cores processor cores, $RAYON_NUM_THREADS used"
git log -1 --format='commit %h of %cs' 2>/dev/null
cargo build --release --locked "${features[@]}" || exit 1
lab=${CARGO_TARGET_DIR:-target}/release/innerloop
[ "$DEVICE" = cpu ] || cargo test --release --locked "${features[@]}" --lib --no-run || exit 1
SECONDS=0

echo "== checks on $DEVICE"
if [ "$DEVICE" = cpu ]; then
    report 'agreement with the processor' 'not checked: no GPU was asked for'
else
    check 'agreement, every preset, 50 steps' cargo test --release --locked "${features[@]}" --lib a_gpu -- --nocapture
    if grep -q SKIPPED "$work/out"; then
        report 'agreement on the GPU' "FAILED: $(grep -m 1 SKIPPED "$work/out")"
        failed=1
    else
        report 'NVML' "$(sed -n 's/.*NVML: //p' "$work/out")"
    fi
fi

crossing() { # A session goes on where it did not begin, and comes to the same.
    local from=$1 to=$2
    rm -f "$work/part.ron"
    "$lab" train first-look --device "$from" --steps 40 --save "$work/part.ron" &&
        "$lab" train "$work/part.ron" --device "$to" --steps 80 --json >"$work/there.json" &&
        "$lab" train first-look --device "$from" --steps 80 --json >"$work/here.json" &&
        near "$(number eval_loss "$work/there.json")" "$(number eval_loss "$work/here.json")"
}
check "a session from cpu to $DEVICE" crossing cpu "$DEVICE"
check "a session from $DEVICE to cpu" crossing "$DEVICE" cpu

same_bits() { # Two runs of one seed end with the same weights.
    local preset=$1 run header
    for run in 1 2; do
        rm -f "$work/$run.ron" "$work/$run.safetensors"
        "$lab" train "$preset" --device "$DEVICE" --steps 200 --save "$work/$run.ron" || return 1
        "$lab" export "$work/$run.ron" --to "$work/$run.safetensors" || return 1
    done
    # Behind the header, whose entries have no order.
    header=$(od -An -t u8 -N 8 "$work/1.safetensors")
    cmp --ignore-initial=$((8 + header)) "$work/1.safetensors" "$work/2.safetensors"
}
for preset in gd-ssm transformer gd-ssm-sine; do
    check "the same bits twice, $preset" same_bits "$preset"
done

check 'a GPU that is not there' refused '^error: .*--device cpu\|built without CUDA' "$lab" train first-look --device cuda:99 --steps 1
if [ "$DEVICE" != cpu ]; then
    check 'a batch of 1,048,576' "$lab" train gd-ssm --device "$DEVICE" --set train.batch=1048576 --steps 3
    check 'd = 64 and N = 256' "$lab" train gd-ssm --device "$DEVICE" --set task.dim=64 --set task.context=256 --steps 3
    if "$PYTHON" -c 'import torch' 2>/dev/null; then
        # The kernel needs 3 GB here.
        check 'out of memory' filled 2000 refused 'no memory left for a batch of 4096' "$lab" train transformer \
            --device "$DEVICE" --set train.batch=4096 --set task.dim=64 --set task.context=256 --steps 3
        check 'a run after it' "$lab" train first-look --device "$DEVICE" --steps 3
    else
        report 'out of memory' 'not checked: it takes PyTorch to fill the GPU'
    fi
    if command -v compute-sanitizer >/dev/null; then
        for tool in memcheck racecheck; do
            for preset in gd-ssm linear-attention transformer gru mamba s5 gd-ssm-sine; do
                beside "compute-sanitizer $tool, $preset" timeout 100 compute-sanitizer --tool "$tool" --error-exitcode 9 \
                    "$lab" train "$preset" --device "$DEVICE" --set train.batch=64 --steps 3
            done
        done
        gather
    else
        report 'compute-sanitizer' 'not checked: it is not on this machine'
    fi
fi
echo "checks took $SECONDS s"

if ! command -v "$PYTHON" >/dev/null; then
    report 'the table' "not measured: there is no $PYTHON"
else
    left=$((TIME_LIMIT - SECONDS))
    "$PYTHON" benches/gpu_table.py --program "$lab" --device "$DEVICE" --time-limit "$((left > 0 ? left : 0))" || failed=1
fi
[ $failed -eq 0 ] && echo 'all checks passed' || echo 'a check FAILED'
exit $failed
