# SPDX-License-Identifier: Apache-2.0
"""A whole prediction beside PyTorch Protenix: the same weights, features and machine.

    python scripts/bench/predict.py --tokens 64,128 --json bench.json

Each side lives in a process of its own; runs alternate, the median counts. Memory is the peak of
the process minus what it held after its weights were loaded and a small input had run. Needs
upstream installed (scripts/test.sh does).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

SIDES = ("ours", "upstream")
SMALL = 16  # tokens of the input that warms up before memory is read
MSA_ROWS = 128
LETTERS = "ACDEFGHIKLMNPQRSTVWY"
# The allocator settings under which PyTorch is fastest here: freed memory is kept.
KEEP_FREED = {"MALLOC_MMAP_THRESHOLD_": "8000000000", "MALLOC_TRIM_THRESHOLD_": "16000000000",
              "MALLOC_TOP_PAD_": "500000000"}


def memory(name: str) -> float:
    """VmHWM (peak) or VmRSS (now) of this process, GB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith(name))


def write_features(path: Path, tokens: int) -> None:
    """Features of a random protein with a random alignment."""
    import numpy as np

    from protenix_ms.chem.ccd import ComponentDictionary
    from protenix_ms.features.build import build
    from protenix_ms.job import Alignment, Job, Polymer

    rng = np.random.default_rng(tokens)
    rows = ["".join(rng.choice(list(LETTERS), tokens)) for _ in range(MSA_ROWS)]
    text = "".join(f">row{i}\n{row}\n" for i, row in enumerate(rows))
    chain = Polymer("protein", rows[0], unpaired_msa=Alignment(text, "bench"))
    example = build(Job("bench", (chain,)), ComponentDictionary.load(), rng)
    np.savez(path, **example.features)


class Ours:
    """Our network with weights by rule."""

    def __init__(self, args: argparse.Namespace) -> None:
        import mindspore

        from protenix_ms.config import get_config
        from protenix_ms.model.protenix import Protenix
        from protenix_ms.model.weights import load_weights
        from protenix_ms.predict.weights import Weights

        mindspore.runtime.launch_blocking()
        settings = {"model.N_cycle": args.cycles, "sample_diffusion.N_sample": args.samples,
                    "sample_diffusion.N_step": args.steps, "mc_dropout_apply_rate": 0.0,
                    "model.msa_module.sample_lower_bound": MSA_ROWS}
        config = get_config(args.model, settings)
        self.model = Protenix(config)
        load_weights(self.model, Weights(random_seed=0).arrays(config))
        self.model.set_train(False)

    def predict(self, features: dict) -> None:
        """One prediction."""
        from protenix_ms.runtime.draws import SeededDraws

        self.model.predict(features, SeededDraws(1))


class Upstream:
    """Upstream's network with the same weights, kernels set to "torch"."""

    def __init__(self, args: argparse.Namespace) -> None:
        os.environ["LAYERNORM_TYPE"] = "torch"
        import copy

        import torch
        from configs.configs_base import configs as base
        from configs.configs_data import data_configs
        from configs.configs_inference import inference_configs
        from configs.configs_model_type import model_configs
        from protenix.config.config import parse_configs
        from protenix.model.protenix import Protenix

        from protenix_ms.model.weights import rule_array

        tree = copy.deepcopy({**base, "data": data_configs, **inference_configs})
        merge(tree, copy.deepcopy(model_configs[args.model]))
        words = {"dtype": "fp32", "triangle_attention": "torch", "model_name": args.model,
                 "triangle_multiplicative": "torch", "enable_tf32": "false",
                 "model.N_cycle": args.cycles, "sample_diffusion.N_sample": args.samples,
                 "sample_diffusion.N_step": args.steps, "data.msa.min_size.test": MSA_ROWS}
        text = " ".join(f"--{key} {value}" for key, value in words.items())
        self.torch = torch
        skip_initialisation()
        self.model = Protenix(parse_configs(tree, text, fill_required_with_null=True)).eval()
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    array = rule_array(name, tuple(parameter.shape))
                    parameter.copy_(torch.from_numpy(array))

    def predict(self, features: dict) -> None:
        """One prediction."""
        nested: dict = {}
        for key, value in features.items():
            group, _, name = key.rpartition("/")
            place = nested.setdefault(group, {}) if group else nested
            place[name] = self.torch.from_numpy(value.copy())
        with self.torch.no_grad():
            self.model(input_feature_dict=nested, label_full_dict=None, label_dict=None,
                       mode="inference", mc_dropout_apply_rate=0)


def skip_initialisation() -> None:
    """Upstream draws its initial weights with scipy, minutes for the base model; they are
    replaced at once, so nothing is drawn."""
    from protenix.model.modules import primitives
    from protenix.model.triangular import layers

    for module in (primitives, layers):
        for name in vars(module):
            if name.endswith("_init_"):
                setattr(module, name, lambda weight, *args, **kwargs: None)


def merge(tree: dict, changes: dict) -> None:
    """Put nested `changes` into `tree`."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            merge(tree[key], value)
        else:
            tree[key] = value


def serve(side: str, args: argparse.Namespace, folder: Path) -> None:
    """In a child: for every token count read from standard input, one timed prediction."""
    import numpy as np

    answers, sys.stdout = sys.stdout, sys.stderr  # libraries that print do not disturb answers
    made = {"ours": Ours, "upstream": Upstream}[side](args)
    made.predict(dict(np.load(folder / f"{SMALL}.npz")))
    held = memory("VmRSS")
    for line in sys.stdin:
        features = dict(np.load(folder / f"{int(line)}.npz"))
        start = time.perf_counter()
        made.predict(features)
        answer = {"seconds": time.perf_counter() - start, "held": held, "peak": memory("VmHWM")}
        print(json.dumps(answer), file=answers, flush=True)


def measure(args: argparse.Namespace, folder: Path, tokens: int) -> dict:
    """Both sides at one size: alternate, take medians."""
    children = {}
    for side in SIDES:
        command = [sys.executable, __file__, "--serve", side, str(folder), "--model", args.model,
                   "--cycles", str(args.cycles), "--samples", str(args.samples),
                   "--steps", str(args.steps)]
        environment = {**os.environ, **(KEEP_FREED if side == "upstream" else {})}
        children[side] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          text=True, env=environment)
    runs: dict[str, list[dict]] = {side: [] for side in SIDES}
    for _ in range(args.repeats + 1):
        for side, child in children.items():
            child.stdin.write(f"{tokens}\n")
            child.stdin.flush()
            runs[side].append(json.loads(child.stdout.readline()))
    for child in children.values():
        child.stdin.close()
        child.wait()
    row: dict = {"tokens": tokens}
    for side, results in runs.items():
        row[f"{side}_s"] = statistics.median(r["seconds"] for r in results[1:])
        row[f"{side}_gb"] = results[-1]["peak"] - results[-1]["held"]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", default="64,128")
    parser.add_argument("--model", default="protenix_tiny_default_v0.5.0")
    parser.add_argument("--cycles", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", nargs=2, metavar=("SIDE", "DIR"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve[0], args, Path(args.serve[1]))
        return
    os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")  # for both sides
    os.environ.setdefault("GLOG_v", "4")
    sizes = [int(n) for n in args.tokens.split(",")]
    with TemporaryDirectory() as folder:
        for n in {SMALL, *sizes}:
            write_features(Path(folder) / f"{n}.npz", n)
        rows = [measure(args, Path(folder), n) for n in sizes]
    print(f"{args.model}, {args.cycles} cycles, {args.steps} steps, {args.samples} samples, "
          f"{MSA_ROWS} MSA rows; memory above weights")
    print("tokens   ours s   upstream s   ratio   ours GB   upstream GB   ratio")
    for r in rows:
        print(f"{r['tokens']:6d} {r['ours_s']:8.2f} {r['upstream_s']:12.2f} "
              f"{r['ours_s'] / r['upstream_s']:7.2f} {r['ours_gb']:9.2f} {r['upstream_gb']:13.2f} "
              f"{r['ours_gb'] / r['upstream_gb']:7.2f}")
    if args.json:
        args.json.write_text(json.dumps({"settings": vars(args) | {"json": None}, "rows": rows},
                                        indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
