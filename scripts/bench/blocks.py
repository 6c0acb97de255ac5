# SPDX-License-Identifier: Apache-2.0
"""Parts of the network beside PyTorch Protenix: the same weights, inputs and machine.

    python scripts/bench/blocks.py --work pairformer,msa --tokens 64,128 --json blocks.json

Pairformer block, MSA block with 128 rows, one denoising step of 5 samples, confidence of 1 sample.
How both sides are measured stands in sides.py; "of peak" is our share of the machine's matrix
multiplication, "difference" that of the outputs of both sides (confidence: upstream's distances
are inexact). Needs upstream installed (scripts/test.sh does).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from sides import (
    MSA_ROWS,
    Work,
    alternate,
    environment,
    fill,
    make_features,
    peak_gflops,
    serve,
    show,
    torch_features,
    upstream_config,
)

from protenix_ms.config import get_config

WORKS = ("pairformer", "msa", "denoise", "confidence")
SAMPLES = 5
NOISE = 16.0  # angstrom

make_features = lru_cache(2)(make_features)


def arrays(config: object, tokens: int) -> dict[str, np.ndarray]:
    """Representations of order one, new at every call since upstream works in place."""
    rng = np.random.default_rng(tokens)
    widths = config.widths
    shapes = {"s_inputs": (tokens, widths.c_s_inputs), "s": (tokens, widths.c_s),
              "z": (tokens, tokens, widths.c_z),
              "m": (MSA_ROWS, tokens, config.model.msa_module.c_m)}
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def coordinates(features: dict, samples: int) -> np.ndarray:
    """Noise as large as a protein, angstrom."""
    rng = np.random.default_rng(7)
    size = (samples, len(features["atom_to_token_idx"]), 3)
    return NOISE * rng.standard_normal(size, np.float32)


def our_cell(work: str, config: object) -> object:
    """Our module with weights by rule."""
    from protenix_ms.model.confidence import ConfidenceHead
    from protenix_ms.model.diffusion import DiffusionModule
    from protenix_ms.model.msa_module import MSABlock
    from protenix_ms.model.pairformer import PairformerBlock
    from protenix_ms.model.weights import load_weights, rule_array

    m = config.model
    p, a = m.pairformer, m.msa_module
    cell = {
        "pairformer": lambda: PairformerBlock(p.c_z, p.c_s, p.n_heads, p.hidden_scale_up),
        "msa": lambda: MSABlock(a.c_m, a.c_z, a.hidden_scale_up, last=False),
        "denoise": lambda: DiffusionModule(m.diffusion_module),
        "confidence": lambda: ConfidenceHead(m.confidence_head),
    }[work]()
    names = [(n, x.shape) for n, x in cell.parameters_and_names() if not n.endswith("_bins")]
    load_weights(cell, ((n, rule_array(n, tuple(shape))) for n, shape in names),
                 may_be_absent=frozenset({"lower_bins", "upper_bins"}))
    return cell.set_train(False)


def ours(args: argparse.Namespace, cell: object = None) -> Work:
    """Our side of one kind of work."""
    import mindspore
    from mindspore import Tensor

    from protenix_ms.model.confidence_features import ConfidenceFeatures
    from protenix_ms.model.protenix import ModelInputs

    mindspore.runtime.launch_blocking()
    config = get_config(args.model)
    cell = cell or our_cell(args.work, config)

    @lru_cache(1)
    def conditioning(tokens: int) -> tuple:
        """What a step needs and what is done once per job."""
        job, given = ModelInputs(make_features(tokens)), arrays(config, tokens)
        trunk = (Tensor.from_numpy(given[k]) for k in ("s_inputs", "s", "z"))
        x = Tensor.from_numpy(coordinates(job.features, SAMPLES))
        return x, np.full(1, NOISE, np.float32), cell.prepare(job.atoms, job.positions, *trunk)

    def work(tokens: int) -> Callable[[], object]:
        if args.work == "denoise":
            inputs = conditioning(tokens)
            return lambda: (cell(*inputs),)
        given = {k: Tensor.from_numpy(v) for k, v in arrays(config, tokens).items()}
        if args.work == "confidence":
            features = make_features(tokens)
            job, x = ConfidenceFeatures.from_features(features), coordinates(features, 1)
            trunk = given["s_inputs"], given["s"], given["z"]
            return lambda: (cell(job, trunk, x)[0].atom_plddt,)
        first = given["s" if args.work == "pairformer" else "m"]
        return lambda: cell(first, given["z"])

    return work


def upstream_module(work: str, config: object) -> object:
    """Upstream's module with the same weights."""
    from protenix.model.modules.confidence import ConfidenceHead
    from protenix.model.modules.diffusion import DiffusionModule
    from protenix.model.modules.pairformer import MSABlock, PairformerBlock

    m = config.model
    p, a = m.pairformer, m.msa_module
    wide = {"hidden_scale_up": config.hidden_scale_up or p.hidden_scale_up}
    return fill({
        "pairformer": lambda: PairformerBlock(c_z=p.c_z, c_s=p.c_s, n_heads=p.n_heads, **wide),
        "msa": lambda: MSABlock(c_m=a.c_m, c_z=p.c_z, **wide),
        "denoise": lambda: DiffusionModule(**m.diffusion_module),
        "confidence": lambda: ConfidenceHead(**m.confidence_head),
    }[work]())


def upstream(args: argparse.Namespace) -> Work:
    """Upstream's side, as its own prediction calls the module, without chunks."""
    config = upstream_config(args.model, {})
    import torch
    from protenix.model.modules.embedders import RelativePositionEncoding
    from protenix.model.protenix import update_input_feature_dict

    from protenix_ms.geometry.bins import PLDDT, expected

    module, sizes = upstream_module(args.work, config), get_config(args.model)
    positions = RelativePositionEncoding(c_z=config.c_z)
    torch.set_grad_enabled(False)

    @lru_cache(1)
    def features(tokens: int) -> dict:
        return update_input_feature_dict(
            positions.generate_relp(torch_features(make_features(tokens))))

    @lru_cache(1)
    def conditioning(tokens: int) -> dict:
        """What its sampler keeps over steps."""
        f, given = features(tokens), arrays(sizes, tokens)
        z = module.diffusion_conditioning.prepare_cache(
            f["relp"], torch.from_numpy(given["z"]), False)
        names = ("ref_pos", "ref_charge", "ref_mask", "ref_element", "ref_atom_name_chars",
                 "atom_to_token_idx", "d_lm", "v_lm", "pad_info")
        p, c = module.atom_attention_encoder.prepare_cache(
            **{k: f[k] for k in names}, r_l=True, z=z, inplace_safe=False)
        return {"input_feature_dict": f, "pair_z": z, "p_lm": p, "c_l": c, "z_trunk": None,
                "s_inputs": torch.from_numpy(given["s_inputs"]),
                "s_trunk": torch.from_numpy(given["s"])}

    def work(tokens: int) -> Callable[[], object]:
        if args.work == "denoise":
            kept = conditioning(tokens)
            x = torch.from_numpy(coordinates(make_features(tokens), SAMPLES))
            return lambda: (module(x, torch.full((SAMPLES,), NOISE), **kept, inplace_safe=True,
                                   enable_efficient_fusion=True),)
        given = {k: torch.from_numpy(v) for k, v in arrays(sizes, tokens).items()}
        if args.work == "confidence":
            f, x = features(tokens), torch.from_numpy(coordinates(make_features(tokens), 1))
            trunk = given["s_inputs"], given["s"], given["z"]
            return lambda: (expected(
                module(f, *trunk, None, x, inplace_safe=True)[0][0].numpy(), PLDDT),)
        first = given["s" if args.work == "pairformer" else "m"]
        return lambda: module(first, given["z"], None, inplace_safe=True)

    return work if args.serve else counted(work)


def counted(work: Work) -> Callable[[int], int]:
    """How many floating point operations the matrix products of a run take."""
    from torch.utils.flop_counter import FlopCounterMode

    def count(tokens: int) -> int:
        run = work(tokens)
        with FlopCounterMode(display=False) as counter:
            run()
        return counter.get_total_flops()

    return count


def measure(args: argparse.Namespace, work: str, peak: float) -> list[dict]:
    """All sizes of one kind of work."""
    rows = []
    operations = upstream(argparse.Namespace(**{**vars(args), "work": work}))
    for tokens in map(int, args.tokens.split(",")):
        row = alternate(__file__, [f"--model={args.model}", f"--work={work}"], tokens, args.repeats)
        row |= {"work": work, "operations": operations(tokens)}
        row["of_peak"] = row["operations"] / row["ours_s"] / 1e9 / peak
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", default=",".join(WORKS), help=f"any of {', '.join(WORKS)}")
    parser.add_argument("--tokens", default="64,128,256")
    parser.add_argument("--model", default="protenix_base_default_v1.0.0")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", choices=("ours", "upstream"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(lambda: {"ours": ours, "upstream": upstream}[args.serve](args))
        return
    os.environ.update(environment("ours"))
    peak = peak_gflops()
    rows = [row for work in args.work.split(",") for row in measure(args, work, peak)]
    show(rows, f"{args.model}, {MSA_ROWS} MSA rows, {SAMPLES} samples a denoising step, "
         f"matrix peak {peak:.0f} GFLOP/s", vars(args) | {"peak_gflops": peak}, args.json)


if __name__ == "__main__":
    main()
