#!/usr/bin/env bash
# Everything that wants a graphics card, in one go: does the card compute what the CPU computes, do sessions cross over, are
# errors errors, and what is it worth. Prints checks and a table; fails if a check does.
#
#     benches/gpu.sh                    on a machine with a card, the CUDA toolkit and, for the last column, PyTorch
#     DEVICE=cpu benches/gpu.sh         the same without a card, to try the script out
#
# It takes a quarter of an hour to build and check, and then SECONDS_EACH (3) a few times for each number of the table.
# DEVICE, BATCHES, PRESETS, CORES, SECONDS_EACH and PYTHON may be set. CORES (16) are what the program may use of the
# processor, with a card and without.
set -uo pipefail
cd "$(dirname "$0")/.."

DEVICE=${DEVICE:-cuda:0}
BATCHES=${BATCHES:-1024 16384 65536}
PRESETS=${PRESETS:-gd-ssm linear-attention transformer}
SECONDS_EACH=${SECONDS_EACH:-3}
PYTHON=${PYTHON:-python3}
cores=$(nproc)
RAYON_NUM_THREADS=$((cores < ${CORES:-16} ? cores : ${CORES:-16}))
export RAYON_NUM_THREADS
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

said() { # said NAME WORDS…: one line of the checks
    printf '%-34s %s\n' "$1" "${*:2}"
}

check() { # check NAME COMMAND…: a command that must succeed
    local name=$1 && shift
    if "$@" >"$work/out" 2>&1; then
        said "$name" passed
    else
        said "$name" FAILED
        tail -n 5 "$work/out" | sed 's/^/    /'
        failed=1
    fi
}

refused() { # refused PATTERN COMMAND…: a command that must fail with exit code 1 and one clear line
    local pattern=$1 && shift
    "$@" >"$work/out" 2>&1
    [ $? -eq 1 ] && grep -q -- "$pattern" "$work/out" && ! grep -q panicked "$work/out"
}

filled() { # filled COMMAND…: a command while all but 2 GB of the card are taken
    "$PYTHON" - "$DEVICE" "$work/held" 2>"$work/err" <<'PY' &
import sys, time, torch
free, _ = torch.cuda.mem_get_info(sys.argv[1])
held = torch.empty(free - (2 << 30), dtype=torch.uint8, device=sys.argv[1])
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
lab=target/release/innerloop

echo "== checks on $DEVICE"
check 'agreement, every preset, 50 steps' cargo test --release --locked "${features[@]}" --lib trainer -- --nocapture
if [ "$DEVICE" = cpu ]; then
    said 'agreement on the card' 'not checked: no card was asked for'
elif grep -q SKIPPED "$work/out"; then
    said 'agreement on the card' "FAILED: $(grep -m 1 SKIPPED "$work/out")"
    failed=1
else
    said "the card's own words" "$(grep -o 'NVML: .*' "$work/out")"
fi

crossing() { # A session goes on where it did not begin, and comes to the same.
    local from=$1 to=$2
    "$lab" train first-look --device "$from" --steps 40 --save "$work/part.ron" &&
        "$lab" train "$work/part.ron" --device "$to" --steps 80 --json >"$work/there.json" &&
        "$lab" train first-look --device "$from" --steps 80 --json >"$work/here.json" &&
        near "$(number eval_loss "$work/there.json")" "$(number eval_loss "$work/here.json")"
}
check "a session from cpu to $DEVICE" crossing cpu "$DEVICE"
check "a session from $DEVICE to cpu" crossing "$DEVICE" cpu
check 'a card that is not there' refused '^error: .*--device cpu\|built without CUDA' "$lab" train first-look --device cuda:99 --steps 1
if [ "$DEVICE" != cpu ]; then
    if "$PYTHON" -c 'import torch' 2>/dev/null; then
        # The session must be there all the same.
        check 'out of memory' filled refused 'no memory left for a batch of 65536' "$lab" train linear-attention \
            --device "$DEVICE" --set train.batch=65536 --set task.context=150 --steps 3 --save "$work/full.ron"
        check 'the session after it' "$lab" train "$work/full.ron" --device "$DEVICE" --steps 1
    else
        said 'out of memory' 'not checked: it takes PyTorch to fill the card'
    fi
fi

seconds() { # seconds PRESET BATCH DEVICE STEPS: what the training took
    "$lab" train "$1" --device "$3" --set train.batch="$2" --set train.measure_every=1000000 --steps "$4" --json \
        2>"$work/err" >"$work/run.json" || return 1
    number elapsed_s "$work/run.json"
}

ours() { # ours PRESET BATCH DEVICE: steps a second, without what only the first steps cost
    local short=4 long begin end
    begin=$(seconds "$1" "$2" "$3" $short) || { tail -n 1 "$work/err" >&2; echo -; return; }
    end=$(seconds "$1" "$2" "$3" $((2 * short))) || { echo -; return; }
    long=$(awk -v a="$begin" -v b="$end" -v s="$SECONDS_EACH" -v n=$short \
        'BEGIN { each = (b - a) / n; if (each < 1e-4) each = 1e-4; n = int(s / each); print (n < 8 ? 8 : n > 20000 ? 20000 : n) }')
    end=$(seconds "$1" "$2" "$3" $((short + long))) || { echo -; return; }
    awk -v a="$begin" -v b="$end" -v n="$long" 'BEGIN { if (b > a) printf "%.1f\n", n / (b - a); else print "-" }'
}

torch() { # torch PRESET BATCH: steps a second of PyTorch, eager, on the same device
    "$PYTHON" benches/peers/on_a_card.py "$1" "$2" "$DEVICE" "$SECONDS_EACH" 2>"$work/err" && return
    tail -n 1 "$work/err" >&2
    echo -
}

ratio() {
    awk -v a="$1" -v b="$2" 'BEGIN { if (a == "-" || b == "-" || b == 0) print "-"; else printf "%.2f\n", a / b }'
}

echo "== steps a second, tasks drawn afresh in each"
printf '%-18s %8s %12s %12s %12s %10s %10s\n' preset batch "$DEVICE" cpu "torch" 'to cpu' 'to torch'
for preset in $PRESETS; do
    for batch in $BATCHES; do
        card=$(ours "$preset" "$batch" "$DEVICE")
        cpu=$(ours "$preset" "$batch" cpu)
        peer=$(torch "$preset" "$batch")
        printf '%-18s %8s %12s %12s %12s %10s %10s\n' \
            "$preset" "$batch" "$card" "$cpu" "$peer" "$(ratio "$card" "$cpu")" "$(ratio "$card" "$peer")"
    done
done
[ $failed -eq 0 ] && echo 'all checks passed' || echo 'a check FAILED'
exit $failed
