#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Check that a wheel is complete: build it from the tracked files of this tree, compare its content
# with them, install it into a new virtual environment, and run the first command of the README
# there, outside the clone. Needs git, a C++ compiler or not, and the packages of a normal install.
#   bash scripts/check_wheel.sh [PYTHON]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${1:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH

# Only tracked files are copied: a leftover build product must not hide a missing data file.
mkdir "$work/tree" "$work/elsewhere"
git -C "$root" ls-files -z | tar -C "$root" --null --files-from=- --create | tar -C "$work/tree" -x
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/dist" "$work/tree"
wheel=$(echo "$work"/dist/*.whl)
"$python" - "$work/tree" "$wheel" <<'CHECK'
import sys, zipfile
from pathlib import Path
tree = Path(sys.argv[1])
packed = set(zipfile.ZipFile(sys.argv[2]).namelist())
source = {str(p.relative_to(tree)) for name in ("protenix_ms", "ckpt_convert")
          for p in (tree / name).rglob("*") if p.is_file() and "__pycache__" not in p.parts}
missing = sorted(source - packed)
sys.exit(f"not in the wheel: {missing}; add them to package_data in setup.py" if missing else 0)
CHECK
echo "wheel: $(basename "$wheel"), $(du -h "$wheel" | cut -f1), every file of both packages is in it"

"$python" -m venv "$work/environment"
"$work/environment/bin/python" -m pip install --quiet "$wheel[plot]"
cp "$root/configs/examples/trp_cage.json" "$work/elsewhere"
cd "$work/elsewhere"
PROTENIX_MS_HOME="$work/home" "$work/environment/bin/protenix-ms" predict --input trp_cage.json \
    --output output
"$work/environment/bin/python" - "$work/environment" <<'CHECK'
import sys
from pathlib import Path
import protenix_ms
assert Path(protenix_ms.__file__).is_relative_to(sys.argv[1]), protenix_ms.__file__
assert (Path(protenix_ms.__file__).parent / "py.typed").is_file()
folder = Path("output/trp_cage")
for name in ("trp_cage_model.cif", "ranking.csv", "run.json", "report.html"):
    assert (folder / name).stat().st_size > 0, name
assert len(list(folder.rglob("*_sample_*.cif"))) == 5
assert list(folder.rglob("*.png")), "no pictures"
CHECK
echo "the installed wheel predicts outside the clone"
