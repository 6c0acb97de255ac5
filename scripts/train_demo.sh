#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Train the demonstration model from scratch and pack it into the package: docs/demo.md.
#   bash scripts/train_demo.sh WORK
# WORK takes the prepared data and both runs; a rerun goes on where an earlier one stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(realpath -m "${1:?name a folder for the runs}")
mkdir -p "$work"

# Every deposit is a source of its own, so that all are drawn alike.
known=() all=()
for file in protenix_ms/predict/demo/known/*.cif.gz configs/demo/strange/*.cif.gz; do
    name=$(basename "$file" .cif.gz)
    if [ "$name" = fkbp_fk506 ]; then continue; fi  # for `doctor --weights` only
    mkdir -p "$work/deposits/$name"
    cp "$file" "$work/deposits/$name/"
    protenix-ms prepare-data "$work/deposits/$name" --output "$work/data/$name" --no-mmseqs
    all+=(--data "$work/data/$name")
    if [[ $file == protenix_ms/* ]]; then known+=(--data "$work/data/$name"); fi
done

train() {  # FOLDER CONFIG OPTIONS: a process for each of two cores
    if [ -d "$work/$1/checkpoints" ]; then set -- "$@" --resume; fi
    msrun --worker_num=2 --local_worker_num=2 --join=True --log_dir="$work/$1-logs" \
        scripts/train.py --config "$2" --output "$work/$1" --loaders 0 "${@:3}"
}
train structure configs/demo.py "${known[@]}"
train hand configs/demo.py:hand --init "$work/structure" "${known[@]}"
train confidence configs/demo.py:confidence --init "$work/hand" "${all[@]}"
python scripts/pack_demo.py "$work/confidence"
