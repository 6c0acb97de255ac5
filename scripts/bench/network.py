# SPDX-License-Identifier: Apache-2.0
"""Measure predictions and parts of the network beside PyTorch Protenix, with equal weights."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache

import inputs
import measure
import numpy as np

WORKS = ("pairformer", "msa", "denoise", "confidence")
SAMPLES = 5  # of a denoising step
NOISE = 16.0  # angstrom


def predict(args: argparse.Namespace) -> list[dict]:
    """Measure whole predictions from features.

    Sides: `ours`, `jit` (compiled blocks), `plain` (without our kernels), `upstream`.
    """
    if args.serve == "upstream":
        measure.serve(upstream_prediction(args))
    elif args.serve:
        measure.serve(our_prediction(args, args.serve))
    rows = []
    for tokens in [] if args.serve else map(int, args.tokens.split(",")):
        rows += measure.alternate(args.sides.split(","), "prediction", tokens, args.repeats)
    return rows


def add_prediction(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `predict`."""
    inputs.add_sampling(parser, "64,128", cycles=4, steps=5, samples=5)
    parser.add_argument("--sides", default="ours,upstream")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--work", help=argparse.SUPPRESS)


def our_prediction(args: argparse.Namespace, side: str = "", model: object = None) -> measure.Work:
    """Return our side of a whole prediction."""
    from protenix_ms.runtime.draws import SeededDraws
    from protenix_ms.runtime.policy import Policy, using

    model = model or inputs.our_model(args.model, inputs.sampling_settings(args))
    chosen = {"jit": Policy(jit=True), "plain": Policy(kernels=False)}.get(side)

    def work(tokens: int) -> Callable[[], tuple]:
        def run() -> tuple:
            with using(chosen) if chosen else nullcontext():
                return (model.predict(inputs.make_features(tokens), SeededDraws(1)).coordinates,)

        return run

    return work


def upstream_prediction(args: argparse.Namespace) -> measure.Work:
    """Return upstream's side; it draws its own noise, so outputs are not compared."""
    config = inputs.upstream_config(args.model, {
        **inputs.sampling_settings(args), "data.msa.min_size.test": inputs.MSA_ROWS})
    import torch
    from protenix.model.protenix import Protenix

    model = inputs.fill(Protenix(config))

    def work(tokens: int) -> Callable[[], None]:
        features = inputs.torch_features(inputs.make_features(tokens))

        def run() -> None:
            with torch.no_grad():
                model(input_feature_dict=features, label_full_dict=None, label_dict=None,
                      mode="inference", mc_dropout_apply_rate=0)

        return run

    return work


def blocks(args: argparse.Namespace) -> list[dict]:
    """Measure a pairformer block, an MSA block (128 rows), a denoising step, a confidence head.

    `of_peak` is our share of the machine's matrix product, by upstream's count of operations.
    `difference` is that of the outputs (in the confidence head upstream's distances are inexact).
    """
    if args.serve:
        measure.serve(our_block(args) if args.serve == "ours" else upstream_block(args))
        return []
    peak, rows = measure.peak_gflops(), []
    for work in args.work.split(","):
        for tokens in map(int, args.tokens.split(",")):
            ours, upstream = measure.alternate(("ours", "upstream"), work, tokens, args.repeats)
            command = measure.child_command("count", work=work, tokens=tokens)
            counted = subprocess.run(command, env=measure.environment("upstream"), check=True,
                                     input=f"{tokens}\n", text=True, stdout=subprocess.PIPE)
            operations = float(counted.stdout.partition('"operations": ')[2].partition(",")[0])
            of_peak = operations / ours["seconds"] / 1e9 / peak
            rows += [ours | {"of_peak": of_peak, "peak_gflops": peak}, upstream]
    return rows


def add_blocks(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `blocks`."""
    parser.add_argument("--work", default=",".join(WORKS), help=f"any of {', '.join(WORKS)}")
    parser.add_argument("--tokens", default="64,128,256")
    parser.add_argument("--model", default=inputs.BASE)
    parser.add_argument("--repeats", type=int, default=5)


def representations(config: object, tokens: int) -> dict[str, np.ndarray]:
    """Draw representations of order one, anew at every call since upstream works in place."""
    rng = np.random.default_rng(tokens)
    widths = config.widths
    shapes = {"s_inputs": (tokens, widths.c_s_inputs), "s": (tokens, widths.c_s),
              "z": (tokens, tokens, widths.c_z),
              "m": (inputs.MSA_ROWS, tokens, config.model.msa_module.c_m)}
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def coordinates(tokens: int, samples: int) -> np.ndarray:
    """Draw noise as large as a protein, angstrom."""
    size = (samples, len(inputs.make_features(tokens)["atom_to_token_idx"]), 3)
    return NOISE * np.random.default_rng(7).standard_normal(size, np.float32)


def our_cell(work: str, model_name: str) -> object:
    """Build our module with weights by rule."""
    from protenix_ms.config import get_config
    from protenix_ms.model.confidence import ConfidenceHead
    from protenix_ms.model.diffusion import DiffusionModule
    from protenix_ms.model.msa_module import MSABlock
    from protenix_ms.model.pairformer import PairformerBlock
    from protenix_ms.model.weights import load_weights, rule_array

    m = get_config(model_name).model
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


def our_block(args: argparse.Namespace, cell: object = None) -> measure.Work:
    """Return our side of one part of the network."""
    import mindspore
    from mindspore import Tensor

    from protenix_ms.config import get_config
    from protenix_ms.model.confidence_features import ConfidenceFeatures
    from protenix_ms.model.protenix import ModelInputs

    mindspore.runtime.launch_blocking()
    config = get_config(args.model)
    cell = cell or our_cell(args.work, args.model)

    @lru_cache(1)
    def step_inputs(tokens: int) -> tuple:
        job, arrays = ModelInputs(inputs.make_features(tokens)), representations(config, tokens)
        trunk = (Tensor.from_numpy(arrays[k]) for k in ("s_inputs", "s", "z"))
        x = Tensor.from_numpy(coordinates(tokens, SAMPLES))
        return x, np.full(1, NOISE, np.float32), cell.prepare(job.atoms, job.positions, *trunk)

    def work(tokens: int) -> Callable[[], object]:
        if args.work == "denoise":
            step = step_inputs(tokens)
            return lambda: (cell(*step),)
        arrays = {k: Tensor.from_numpy(v) for k, v in representations(config, tokens).items()}
        if args.work == "confidence":
            job = ConfidenceFeatures.from_features(inputs.make_features(tokens))
            x = coordinates(tokens, 1)
            trunk = arrays["s_inputs"], arrays["s"], arrays["z"]
            return lambda: (cell(job, trunk, x)[0].atom_plddt,)
        first = arrays["s" if args.work == "pairformer" else "m"]
        return lambda: cell(first, arrays["z"])

    return work


def upstream_module(work: str, config: object) -> object:
    """Build upstream's module with the same weights."""
    from protenix.model.modules.confidence import ConfidenceHead
    from protenix.model.modules.diffusion import DiffusionModule
    from protenix.model.modules.pairformer import MSABlock, PairformerBlock

    m = config.model
    p, a = m.pairformer, m.msa_module
    wide = {"hidden_scale_up": config.hidden_scale_up or p.hidden_scale_up}
    return inputs.fill({
        "pairformer": lambda: PairformerBlock(c_z=p.c_z, c_s=p.c_s, n_heads=p.n_heads, **wide),
        "msa": lambda: MSABlock(c_m=a.c_m, c_z=p.c_z, **wide),
        "denoise": lambda: DiffusionModule(**m.diffusion_module),
        "confidence": lambda: ConfidenceHead(**m.confidence_head),
    }[work]())


def upstream_block(args: argparse.Namespace) -> measure.Work:
    """Return upstream's side, called as its own prediction does, without chunks."""
    config = inputs.upstream_config(args.model, {})
    import torch
    from protenix.model.modules.embedders import RelativePositionEncoding
    from protenix.model.protenix import update_input_feature_dict

    from protenix_ms.config import get_config
    from protenix_ms.geometry.bins import PLDDT, expected

    module, sizes = upstream_module(args.work, config), get_config(args.model)
    positions = RelativePositionEncoding(c_z=config.c_z)
    torch.set_grad_enabled(False)

    @lru_cache(1)
    def features(tokens: int) -> dict:
        return update_input_feature_dict(
            positions.generate_relp(inputs.torch_features(inputs.make_features(tokens))))

    @lru_cache(1)
    def conditioning(tokens: int) -> dict:
        """Compute what its sampler keeps over steps."""
        f, arrays = features(tokens), representations(sizes, tokens)
        z = module.diffusion_conditioning.prepare_cache(
            f["relp"], torch.from_numpy(arrays["z"]), False)
        names = ("ref_pos", "ref_charge", "ref_mask", "ref_element", "ref_atom_name_chars",
                 "atom_to_token_idx", "d_lm", "v_lm", "pad_info")
        p, c = module.atom_attention_encoder.prepare_cache(
            **{k: f[k] for k in names}, r_l=True, z=z, inplace_safe=False)
        return {"input_feature_dict": f, "pair_z": z, "p_lm": p, "c_l": c, "z_trunk": None,
                "s_inputs": torch.from_numpy(arrays["s_inputs"]),
                "s_trunk": torch.from_numpy(arrays["s"])}

    def work(tokens: int) -> Callable[[], object]:
        if args.work == "denoise":
            cache, x = conditioning(tokens), torch.from_numpy(coordinates(tokens, SAMPLES))
            return lambda: (module(x, torch.full((SAMPLES,), NOISE), **cache, inplace_safe=True,
                                   enable_efficient_fusion=True),)
        arrays = {k: torch.from_numpy(v) for k, v in representations(sizes, tokens).items()}
        if args.work == "confidence":
            f, x = features(tokens), torch.from_numpy(coordinates(tokens, 1))
            trunk = arrays["s_inputs"], arrays["s"], arrays["z"]
            return lambda: (expected(
                module(f, *trunk, None, x, inplace_safe=True)[0][0].numpy(), PLDDT),)
        first = arrays["s" if args.work == "pairformer" else "m"]
        return lambda: module(first, arrays["z"], None, inplace_safe=True)

    return work if args.serve == "upstream" else count_operations(work)


def count_operations(work: measure.Work) -> measure.Work:
    """Count the floating point operations of the matrix products instead of timing."""
    from torch.utils.flop_counter import FlopCounterMode

    def count(tokens: int) -> Callable[[], dict]:
        run = work(tokens)

        def counted() -> dict:
            with FlopCounterMode(display=False) as counter:
                run()
            return {"operations": counter.get_total_flops()}

        return counted

    return count


WORKLOADS = {"predict": (predict, add_prediction), "blocks": (blocks, add_blocks)}
