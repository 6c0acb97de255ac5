#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Install everything the tests need into the active Python environment, then run them, one file at
# a time on each of up to four cores. Arguments go to pytest. Upstream Protenix and PyTorch are part
# of it: parity is measured live, and a parity test that cannot run fails.
set -euo pipefail
cd "$(dirname "$0")/.."

python -m pip install --quiet --editable ".[plot,test]"
# Upstream's own requirements hold GPU packages; the extra `test` lists what its CPU path imports.
python -m pip install --quiet --no-deps protenix==2.0.0 fair-esm==2.0.0 pdbeccdutils==1.0.0

export PROTENIX_MS_REQUIRE_ORACLE=1
export LAYERNORM_TYPE=torch  # upstream compiles a CUDA kernel at import otherwise
export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}"
exec python -m pytest -n "$(( $(nproc) < 4 ? $(nproc) : 4 ))" --dist loadfile "$@"
