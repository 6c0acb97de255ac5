# SPDX-License-Identifier: Apache-2.0
"""From the command to the first denoiser step of a short peptide, beside PyTorch Protenix.

    python scripts/bench/startup.py --json startup.json

Each side is a fresh process that imports, builds the model, reads the same weights from its own
kind of checkpoint, featurises and runs the trunk; the clock stops when the denoiser has run once.
Upstream's initial weights are not drawn (minutes with scipy). Needs upstream installed and its
component files (PROTENIX_ROOT_DIR).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sides import SIDES, environment, fill, upstream_config

SEQUENCE = "GSHMKVLAAGIVGLCAKYRQ"
ALIGNMENT = f">query\n{SEQUENCE}\n"


def stop_after(cell: type, method: str) -> None:
    """The first call of a method ends this process with exit code 0."""
    original = getattr(cell, method)

    def once(self: object, *args: object, **kwargs: object) -> None:
        result = original(self, *args, **kwargs)
        if hasattr(result, "asnumpy"):
            result.asnumpy()
        os._exit(0)

    setattr(cell, method, once)


def ours(args: argparse.Namespace) -> None:
    """Our command as a person runs it."""
    from protenix_ms.cli import launch

    launch.relaunch()
    from protenix_ms.cli.main import main
    from protenix_ms.model.diffusion import DiffusionModule

    stop_after(DiffusionModule, "construct")
    main(["predict", "--input", str(args.folder / "peptide.fasta"), "--model", args.model,
          "--output", str(args.folder / "ours"), "--msa", str(args.folder / "peptide.a3m"),
          "--checkpoint", str(args.folder / "weights.safetensors"), "--cycles", "1"])


def upstream_model(args: argparse.Namespace) -> tuple[object, object]:
    """Upstream's configuration and network, without weights."""
    config = upstream_config(args.model, {
        "model.N_cycle": 1, "input_json_path": args.folder / "peptide.json",
        "dump_dir": args.folder / "upstream", "use_msa": "true"})
    from protenix.model.protenix import Protenix

    return config, Protenix(config)


def upstream(args: argparse.Namespace) -> None:
    """What upstream's runner does up to the denoiser."""
    import torch

    config, model = upstream_model(args)
    from protenix.data.inference.infer_dataloader import InferenceDataset
    from protenix.model.modules.diffusion import DiffusionModule

    model.load_state_dict(torch.load(args.folder / "weights.pt", mmap=True)["model"])
    model.eval()
    data, _, error = InferenceDataset(config)[0]
    if error:
        raise SystemExit(error)
    stop_after(DiffusionModule, "forward")
    with torch.no_grad():
        model(input_feature_dict=data["input_feature_dict"], label_full_dict=None,
              label_dict=None, mode="inference", mc_dropout_apply_rate=0)


def write_inputs(args: argparse.Namespace) -> None:
    """The same peptide for both, and the same weights."""
    (args.folder / "peptide.fasta").write_text(f">peptide|protein\n{SEQUENCE}\n")
    (args.folder / "peptide.a3m").write_text(ALIGNMENT)
    chain = {"sequence": SEQUENCE, "count": 1,
             "unpairedMsaPath": str(args.folder / "peptide.a3m")}
    job = [{"name": "peptide", "sequences": [{"proteinChain": chain}], "modelSeeds": [101]}]
    (args.folder / "peptide.json").write_text(json.dumps(job))
    command = [sys.executable, __file__, "--serve", "weights", *options(args)]
    subprocess.run(command, check=True, env=environment("upstream"), stdout=subprocess.DEVNULL)
    subprocess.run([sys.executable, "-m", "ckpt_convert", args.folder / "weights.pt",
                    args.folder / "weights.safetensors", "--model", args.model],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   cwd=Path(__file__).parents[2])


def weights(args: argparse.Namespace) -> None:
    """Upstream's checkpoint, weights by rule."""
    import torch

    model = fill(upstream_model(args)[1])
    torch.save({"model": model.state_dict()}, args.folder / "weights.pt")


def options(args: argparse.Namespace) -> list[str]:
    return [f"--folder={args.folder}", f"--model={args.model}"]


def timed(args: argparse.Namespace, side: str) -> float:
    """Seconds from the start of a process to its end after the first denoiser step."""
    start = time.perf_counter()
    run = subprocess.run([sys.executable, __file__, "--serve", side, *options(args)],
                         env=environment(side), capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if run.returncode:
        raise SystemExit(f"{side} failed: {run.stderr.strip().splitlines()[-1:]}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="protenix_tiny_default_v0.5.0")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--serve", choices=(*SIDES, "weights"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        {"ours": ours, "upstream": upstream, "weights": weights}[args.serve](args)
        raise SystemExit("the denoiser never ran" if args.serve != "weights" else 0)
    with tempfile.TemporaryDirectory() as folder:
        args.folder = Path(folder)
        write_inputs(args)
        runs = {side: [] for side in SIDES}
        for repeat in range(args.repeats + 1):
            for side in SIDES:
                seconds = timed(args, side)
                runs[side] += [seconds] if repeat else []  # the first one fills the file cache
    row = {f"{side}_s": statistics.median(s) for side, s in runs.items()}
    row["ratio"] = row["ours_s"] / row["upstream_s"]
    print(f"{args.model}, {len(SEQUENCE)} residues, start to first denoiser step: ours "
          f"{row['ours_s']:.1f} s, upstream {row['upstream_s']:.1f} s, ratio {row['ratio']:.2f}; "
          f"load {os.getloadavg()[0]:.1f}")
    if args.json:
        args.json.write_text(json.dumps(row | {"runs": runs, "model": args.model}, indent=1))


if __name__ == "__main__":
    main()
