#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the attention ops for Ascend and installs them under the package.
#
#   scripts/build_ascend_op.sh [--soc ascend910b] [--install DIR] [--off ASYNC,MASK] [--stage-only DIR]
#
# --off turns optimisations off, for an ablation: ARENA, ASYNC, MASK, TILING, LEVEL0. --stage-only
# lays out the sources as the compiler wants them, and stops; it needs no toolkit.
# Never run by us: this machine has no toolkit. Only --stage-only and the refusals were tested.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
sources="$root/protenix_ms/ops/evoformer_attention/csrc/ascend"
install="$root/protenix_ms/ops/_ascend"
soc=ascend910b off="" stage_only=""

die() { echo "build_ascend_op: $*" >&2; exit 2; }

while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || die "$1 needs a value"
    case "$1" in
        --soc) soc=$2 ;;
        --install) install=$2 ;;
        --off) off=$2 ;;
        --stage-only) stage_only=$2 ;;
        *) die "unknown option $1" ;;
    esac
    shift 2
done

# The compiler takes two flat folders; evo_tiling.h belongs to both.
stage() {
    mkdir -p "$1/op_host" "$1/op_kernel"
    cp "$sources"/op_host/* "$1/op_host/"
    cp "$sources"/op_kernel/* "$1/op_kernel/"
    local name switches=""
    for name in ${off//,/ }; do
        case "$name" in
            ARENA | ASYNC | MASK | TILING | LEVEL0) switches+="#define EVO_OPT_$name 0"$'\n' ;;
            *) die "unknown optimisation $name" ;;
        esac
    done
    for name in op_host op_kernel; do
        { printf '%s' "$switches"; cat "$sources/common/evo_tiling.h"; } > "$1/$name/evo_tiling.h"
    done
}

if [ -n "$stage_only" ]; then
    stage "$stage_only"
    echo "sources are in $stage_only"
    exit 0
fi

home=${ASCEND_HOME_PATH:-${ASCEND_TOOLKIT_HOME:-}}
[ -n "$home" ] && [ -d "$home" ] || die "the toolkit's environment is not set; source its set_env.sh"
command -v cmake > /dev/null || die "cmake is missing; install 3.16 or later"
command -v python > /dev/null || die "python is missing; activate the environment of MindSpore"
find -L "$home" -name bisheng -type f -perm -u+x 2> /dev/null | grep -q . ||
    die "$home has no compiler (bisheng); install the whole toolkit, not only its runtime"
wheel=$(python -c 'import mindspore, pathlib; print(pathlib.Path(mindspore.__file__).parent)') ||
    die "MindSpore does not import; install mindspore==2.10.0"
compiler="$wheel/lib/plugin/ascend/custom_compiler"
[ -f "$compiler/setup.py" ] || die "this MindSpore has no compiler of custom ops ($compiler)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage "$work"
cp -r "$compiler" "$work/compiler"  # it writes beside itself
mkdir -p "$install"
install=$(cd "$install" && pwd)
log="$install/build.log"
echo "compiling for $soc with $home ..."
if ! (cd "$work/compiler" && python setup.py -o "$work/op_host" -k "$work/op_kernel" \
    --soc_version "$soc" --ascend_cann_package_path "$home" --vendor_name protenix_ms \
    --install_path "$install") > "$log" 2>&1; then
    for part in build.log install.log; do
        [ -f "$work/compiler/$part" ] && cat "$work/compiler/$part" >> "$log"
    done
    tail -40 "$log" >&2
    die "the build failed; the whole log is $log"
fi

op="$install/vendors/protenix_ms"
[ -f "$op/op_api/lib/libcust_opapi.so" ] || die "the build left no library in $op; see $log"
(cd "$root" && python - "$home" "$op" << 'PY'
import sys
from pathlib import Path

from protenix_ms.ops.evoformer_attention.env import toolkit_version

Path(sys.argv[2], "built_for").write_text(toolkit_version(Path(sys.argv[1])) or "", encoding="ascii")
PY
)
echo "built. Before starting Python:"
echo "  export ASCEND_CUSTOM_OPP_PATH=$op:\$ASCEND_CUSTOM_OPP_PATH"
