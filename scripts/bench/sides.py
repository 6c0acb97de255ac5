# SPDX-License-Identifier: Apache-2.0
"""Ours beside PyTorch Protenix: what all benches share.

Each side lives in a process of its own, which reads token counts and answers with seconds and
memory; runs alternate and the median counts. Memory is the peak of the process minus what it held
before, in predictions after a small input had run. Both sides get huge pages, PyTorch its best
`MALLOC_*` settings too.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
# This folder last: its `profile` is not the standard library's, which other libraries import.
sys.path.sort(key=str(Path(__file__).resolve().parent).__eq__)

SIDES = ("ours", "upstream")
SMALL = 16  # tokens of the input that warms up before memory is read
MSA_ROWS = 128
LETTERS = "ACDEFGHIKLMNPQRSTVWY"
SAMPLED = 64  # numbers of each output that travel, to see that both sides did the same work
# The allocator settings under which PyTorch is fastest here: freed memory is kept.
KEEP_FREED = {"MALLOC_MMAP_THRESHOLD_": "8000000000", "MALLOC_TRIM_THRESHOLD_": "16000000000",
              "MALLOC_TOP_PAD_": "500000000"}

Work = Callable[[int], Callable[[], object]]
"""``work(tokens)`` prepares inputs and returns what is timed, which returns arrays, numbers by
name, or None."""


def memory(name: str) -> float:
    """VmHWM (peak) or VmRSS (now) of this process, GB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith(name))


def forget_peak() -> None:
    """VmHWM starts anew at what is held now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def environment(side: str) -> dict[str, str]:
    """Variables of a side's process; huge pages for both."""
    new = {**os.environ, **(KEEP_FREED if side == "upstream" else {})}
    new.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    new.setdefault("GLOG_v", "4")
    return new


def make_features(tokens: int) -> dict:
    """Features of a random protein with a random alignment."""
    import numpy as np

    from protenix_ms.chem.ccd import ComponentDictionary
    from protenix_ms.features.build import build
    from protenix_ms.job import Alignment, Job, Polymer

    rng = np.random.default_rng(tokens)
    rows = ["".join(rng.choice(list(LETTERS), tokens)) for _ in range(MSA_ROWS)]
    text = "".join(f">row{i}\n{row}\n" for i, row in enumerate(rows))
    chain = Polymer("protein", rows[0], unpaired_msa=Alignment(text, "bench"))
    return build(Job("bench", (chain,)), ComponentDictionary.load(), rng).features


def structure_option(parser: argparse.ArgumentParser) -> None:
    """``--cif``: where training examples are cut from."""
    folder = os.environ.get("PROTENIX_MS_EXAMPLES")
    parser.add_argument("--cif", type=Path, required=not folder,
                        default=Path(folder) / "cif" / "1igy.cif.gz" if folder else None,
                        help="a deposited structure; default $PROTENIX_MS_EXAMPLES/cif/1igy.cif.gz")


def make_example(path: Path, tokens: int):
    """A training example cut from a deposited structure, with a random alignment."""
    import numpy as np

    from protenix_ms.chem.ccd import ComponentDictionary
    from protenix_ms.data.crop import CropOptions
    from protenix_ms.data.entry import read_entry
    from protenix_ms.data.example import ExampleOptions, training_example
    from protenix_ms.data.symmetry import Symmetries

    rng, ccd = np.random.default_rng(0), ComponentDictionary.load()
    entry = read_entry(path, ccd)
    options = ExampleOptions(CropOptions(tokens, (0.0, 1.0, 0.0)))
    chain = str(entry.atoms.chain_id[0])
    made = training_example(entry, [chain], rng, options, Symmetries(ccd))
    n = len(made.features["restype"])
    made.features["msa"] = rng.integers(0, 21, (MSA_ROWS, n))
    for name in ("has_deletion", "deletion_value"):
        made.features[name] = np.zeros((MSA_ROWS, n), np.float32)
    made.features["resolution"] = np.array([2.0], np.float32)
    return made


def torch_features(features: dict) -> dict:
    """Our flat features as upstream's nested tensors."""
    import torch

    nested: dict = {}
    for key, value in features.items():
        group, _, name = key.rpartition("/")
        place = nested.setdefault(group, {}) if group else nested
        place[name] = torch.from_numpy(value.copy())
    return nested


def upstream_config(model: str, words: dict[str, object], training: bool = False) -> object:
    """Upstream's configuration, kernels set to "torch"; call before upstream's other modules."""
    os.environ["LAYERNORM_TYPE"] = "torch"
    from configs.configs_base import configs as base
    from configs.configs_data import data_configs
    from configs.configs_inference import inference_configs
    from configs.configs_model_type import model_configs
    from protenix.config.config import parse_configs

    tree = copy.deepcopy({**base, "data": data_configs, **({} if training else inference_configs)})
    _merge(tree, copy.deepcopy(model_configs[model]))
    words = {"dtype": "fp32", "triangle_attention": "torch", "model_name": model,
             "triangle_multiplicative": "torch", "enable_tf32": "false", **words}
    text = " ".join(f"--{key} {value}" for key, value in words.items())
    _skip_initialisation()
    return parse_configs(tree, text, fill_required_with_null=True)


def _skip_initialisation() -> None:
    """Upstream draws its initial weights with scipy, minutes for the base model; they are
    replaced at once, so nothing is drawn."""
    from protenix.model.modules import primitives
    from protenix.model.triangular import layers

    for module in (primitives, layers):
        for name in vars(module):
            if name.endswith("_init_"):
                setattr(module, name, lambda weight, *args, **kwargs: None)


def _merge(tree: dict, changes: dict) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value


def fill(module: object) -> object:
    """Weights by rule into a module of upstream's; ours take the same arrays."""
    import torch

    from protenix_ms.model.weights import OWN, rule_array

    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name not in OWN and not name.endswith("_bins"):
                array = rule_array(name, tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(array))
    return module.eval()


def _sampled(outputs: object) -> list[list[float]]:
    """Some numbers of every output."""
    import numpy as np

    found = []
    for x in outputs or ():
        x = x.asnumpy() if hasattr(x, "asnumpy") else np.asarray(x)
        found.append(x.reshape(-1)[:: max(1, x.size // SAMPLED)].astype(float).tolist())
    return found


def serve(build: Callable[[], Work], small: int | None = SMALL) -> None:
    """In a child: for every token count read from standard input, one timed run.

    Args:
        build: makes one side.
        small: tokens of the input that runs before memory is read, None for no such run.
    """
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries that print do not disturb answers
    work = build()
    if small:
        work(small)()
    held = memory("VmRSS")
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        run = work(int(line))
        start = time.perf_counter()
        outputs = run()
        seconds = time.perf_counter() - start
        named = outputs if isinstance(outputs, dict) else {}
        answer = {"seconds": seconds, "held": held, "peak": memory("VmHWM"), "numbers": named,
                  "outputs": [] if named else _sampled(outputs)}
        print(json.dumps(answer), file=answers, flush=True)


def alternate(script: str, options: list[str], tokens: int, repeats: int) -> dict:
    """Both sides of `script` at one size: a warm-up, then alternating runs.

    Returns:
        tokens; of each side the median seconds, GB above what was held, GB of the whole process,
        medians of `numbers`; `difference` of outputs, relative to the largest, where there are any.
    """
    children = {
        side: subprocess.Popen([sys.executable, script, "--serve", side, *options], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env=environment(side))
        for side in SIDES
    }
    runs: dict[str, list[dict]] = {side: [] for side in SIDES}
    for child in children.values():
        child.stdout.readline()  # ready
        child.send_signal(signal.SIGSTOP)
    for _ in range(repeats + 1):
        for side, child in children.items():
            child.send_signal(signal.SIGCONT)
            answer = _ask(child, tokens)
            if not answer:
                for other in children.values():
                    other.kill()
                raise SystemExit(f"{side} ended with {child.wait()} at {tokens} tokens; -9 is the "
                                 "system's when both sides together need more memory than is there")
            runs[side].append(json.loads(answer))
            child.send_signal(signal.SIGSTOP)  # or its idle threads spin beside the other side
    for child in children.values():
        child.send_signal(signal.SIGCONT)
        child.stdin.close()
        child.wait()
    row: dict = {"tokens": tokens, "difference": _difference(*(runs[s][0] for s in SIDES))}
    for side, results in runs.items():
        row[f"{side}_s"] = statistics.median(r["seconds"] for r in results[1:])
        row[f"{side}_gb"] = results[-1]["peak"] - results[-1]["held"]
        row[f"{side}_process_gb"] = results[-1]["peak"]
        row[f"{side}_numbers"] = {name: statistics.median(r["numbers"][name] for r in results[1:])
                                  for name in results[0]["numbers"]}
    return row


def _ask(child: subprocess.Popen, tokens: int) -> str:
    """The child's answer, empty when it has ended."""
    try:
        child.stdin.write(f"{tokens}\n")
        child.stdin.flush()
    except BrokenPipeError:
        return ""
    return child.stdout.readline()


def _difference(ours: dict, upstream: dict) -> float | None:
    errors = []
    for a, b in zip(ours["outputs"], upstream["outputs"], strict=True):
        largest = max(abs(y) for y in b)
        errors.append(max(abs(x - y) for x, y in zip(a, b, strict=True)) / largest)
    return max(errors) if errors else None


def alternating(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Median seconds of the clock and of all cores, after a warm-up of each."""
    seconds: dict[str, list[list[float]]] = {name: [] for name in runs}
    for _ in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter(), time.process_time()
            run()
            end = time.perf_counter(), time.process_time()
            seconds[name].append([b - a for a, b in zip(start, end)])
    return {name: [statistics.median(column) for column in zip(*found[1:])]
            for name, found in seconds.items()}


def peak_gflops() -> float:
    """This machine's float32 matrix product of 2048^3: the better of MindSpore's and ours."""
    import mindspore
    import numpy as np
    from mindspore import Tensor, ops

    from protenix_ms.ops.pair_layers import linear

    mindspore.runtime.launch_blocking()
    x = Tensor.from_numpy(np.ones((2048, 2048), np.float32))
    best = float("inf")
    for product in [ops.MatMul(transpose_b=True), lambda a, b: linear(a, b, None)] * 5:
        start = time.perf_counter()
        product(x, x).asnumpy()
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best / 1e9


def show(rows: list[dict], first: str, settings: dict, file: Path | None,
         held: str = "a small input's") -> None:
    """A table, and a JSON where asked for.

    Args:
        rows: from `alternate`; `work` names a row where there are several per size.
        first: line above the table.
        settings: recorded beside the rows.
        held: above what memory counts.
    """
    print(f"{first}; load {os.getloadavg()[0]:.1f}; memory above {held}")
    print(f"{'work':12s}{'tokens':>7s}{'ours s':>10s}{'upstream s':>12s}{'ratio':>7s}"
          f"{'ours GB':>9s}{'upstream GB':>13s}{'ratio':>7s}{'of peak':>9s}{'difference':>12s}")
    for r in rows:
        peak, difference = r.get("of_peak"), r["difference"]
        print(f"{r.get('work', 'predict'):12s}{r['tokens']:7d}{r['ours_s']:10.3f}"
              f"{r['upstream_s']:12.3f}{r['ours_s'] / r['upstream_s']:7.2f}{r['ours_gb']:9.2f}"
              f"{r['upstream_gb']:13.2f}{r['ours_gb'] / max(r['upstream_gb'], 1e-3):7.2f}"
              f"{'-' if peak is None else f'{peak:.0%}':>9s}"
              f"{'-' if difference is None else f'{difference:.0e}':>12s}")
    if file:
        record = {"settings": settings, "load": os.getloadavg(), "rows": rows}
        file.write_text(json.dumps(record, indent=2, default=str) + "\n", encoding="utf-8")
