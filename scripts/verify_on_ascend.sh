#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One command for the owner of an Ascend A2: environment, build, parity, performance, ablation.
#
#   scripts/verify_on_ascend.sh [--report DIR] [--quick]
#
# Leaves report.json and report.txt in DIR; the exit code is 0 only if every value is within its
# tolerance. Never run by us: this machine has no such device.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
report=$PWD/ascend_report quick=""
while [ $# -gt 0 ]; do
    case "$1" in
        --report) report=${2:?--report needs a folder}; shift 2 ;;
        --quick) quick=--quick; shift ;;
        *) echo "verify_on_ascend: unknown option $1" >&2; exit 2 ;;
    esac
done
command -v npu-smi > /dev/null || { echo "verify_on_ascend: npu-smi is missing; is the driver installed?" >&2; exit 2; }
mkdir -p "$report"
report=$(cd "$report" && pwd)
cd "$root"
{ date; npu-smi info; python -V; cat "${ASCEND_HOME_PATH:-/nonexistent}/version.info" 2> /dev/null || true; } |
    tee "$report/environment.txt"

run() {  # folder of the op, arguments
    local op=$1
    shift
    ASCEND_CUSTOM_OPP_PATH="$op/vendors/protenix_ms${ASCEND_CUSTOM_OPP_PATH:+:$ASCEND_CUSTOM_OPP_PATH}" \
        PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" python scripts/verify_on_ascend.py "$@" $quick
}

op="$root/protenix_ms/ops/_ascend"
[ -f "$op/vendors/protenix_ms/op_api/lib/libcust_opapi.so" ] || scripts/build_ascend_op.sh --install "$op"
status=0
run "$op" --out "$report/report.json" | tee "$report/report.txt" || status=1

# The ablation: the same op with one optimisation off at a time; only times are compared.
for name in ARENA ASYNC MASK TILING LEVEL0; do
    scripts/build_ascend_op.sh --install "$report/without_$name" --off "$name" || { echo "without $name: build failed" | tee -a "$report/report.txt"; status=1; continue; }
    run "$report/without_$name" --times-only --title "without $name" \
        --out "$report/without_$name.json" | tee -a "$report/report.txt" || status=1
done
echo "report: $report; $([ $status = 0 ] && echo passed || echo FAILED)"
exit $status
