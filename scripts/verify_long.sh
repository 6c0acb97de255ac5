#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Run what is too long for every commit: the tests, a replay of every recording, predictions beside
# PyTorch, mutants of the product, and programs of others that read a result folder (installed into
# an environment of their own). Run it in the environment that scripts/test.sh makes. Dated results
# belong into docs/.
#   PROTENIX_MS_GOLDEN=DIR bash scripts/verify_long.sh [FOLDER FOR LOGS]
set -uo pipefail
cd "$(dirname "$0")/.."
golden="${PROTENIX_MS_GOLDEN:-tests/golden}"
logs="${1:-output/verify_long}"
mkdir -p "$logs"
export LAYERNORM_TYPE=torch GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}"
failed=0

step() {  # name, command...: run it, write its output to a log, print its verdict
    local name=$1 start=$SECONDS verdict=ok
    shift
    "$@" >"$logs/$name.log" 2>&1 || { verdict=FAILED; failed=1; }
    printf '%s  %-10s %-7s %5d s\n' "$(date -u +%F)" "$name" "$verdict" $((SECONDS - start))
}

# Recordings of a prediction are those without training inputs.
recordings=()
for outputs in "$golden"/tiny/*/outputs.npz "$golden"/full/*/outputs.npz; do
    [ -f "$outputs" ] && recordings+=("$(dirname "$outputs")")
done
[ ${#recordings[@]} -gt 0 ] || { echo "no recordings in $golden: set PROTENIX_MS_GOLDEN" >&2; exit 2; }

step tests python -m pytest -q
step replay python scripts/replay.py "${recordings[@]}"
step predict python scripts/bench.py predict --tokens 64,128 --json "$logs/predict.json"
tail -n 9 "$logs/predict.log"
step mutants python scripts/mutants.py --out "$logs/mutants.tsv"
step clients python tests/clients/read_results.py "$logs/clients"
step poses python tests/clients/compare_poses.py "$logs/poses"
step engines python tests/clients/compare_engines.py "$logs/engines"
exit $failed
