# SPDX-License-Identifier: Apache-2.0
"""Make what all workloads share: features, training examples, and both networks by rule."""

from __future__ import annotations

import argparse
import copy
import os
from functools import lru_cache
from pathlib import Path

MSA_ROWS = 128
LETTERS = "ACDEFGHIKLMNPQRSTVWY"
DEPOSITS = Path(__file__).resolve().parents[2] / "tests" / "golden" / "cif"
TINY, BASE = "protenix_tiny_default_v0.5.0", "protenix_base_default_v1.0.0"


def add_sampling(parser: argparse.ArgumentParser, tokens: str, **defaults: int) -> None:
    """Declare the options of whole predictions."""
    parser.add_argument("--tokens", default=tokens, help="sizes, separated by commas")
    parser.add_argument("--model", default=TINY)
    for name in ("cycles", "steps", "samples"):
        parser.add_argument(f"--{name}", type=int, default=defaults[name])


@lru_cache(2)
def make_features(tokens: int) -> dict:
    """Make the features of a random protein with a random alignment."""
    import numpy as np

    from protenix_ms.chem.ccd import ComponentDictionary
    from protenix_ms.features.build import build
    from protenix_ms.job import Alignment, Job, Polymer

    rng = np.random.default_rng(tokens)
    rows = ["".join(rng.choice(list(LETTERS), tokens)) for _ in range(MSA_ROWS)]
    text = "".join(f">row{i}\n{row}\n" for i, row in enumerate(rows))
    chain = Polymer("protein", rows[0], unpaired_msa=Alignment(text, "bench"))
    return build(Job("bench", (chain,)), ComponentDictionary.load(), rng).features


def make_example(path: Path, tokens: int):
    """Cut a training example from a deposited structure, with a random alignment."""
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
    example = training_example(entry, [chain], rng, options, Symmetries(ccd))
    n = len(example.features["restype"])
    example.features["msa"] = rng.integers(0, 21, (MSA_ROWS, n))
    for name in ("has_deletion", "deletion_value"):
        example.features[name] = np.zeros((MSA_ROWS, n), np.float32)
    example.features["resolution"] = np.array([2.0], np.float32)
    return example


def sampling_settings(args: argparse.Namespace) -> dict[str, object]:
    """Return the settings of a prediction that both programs share."""
    return {"model.N_cycle": args.cycles, "sample_diffusion.N_sample": args.samples,
            "sample_diffusion.N_step": args.steps}


def our_model(model_name: str, settings: dict[str, object]) -> object:
    """Build our network with weights by rule."""
    import mindspore

    from protenix_ms.config import get_config
    from protenix_ms.model.protenix import Protenix
    from protenix_ms.model.weights import load_weights, shapes_of
    from protenix_ms.predict.weights import Weights

    mindspore.runtime.launch_blocking()
    config = get_config(model_name, {"mc_dropout_apply_rate": 0.0,
                                     "model.msa_module.sample_lower_bound": MSA_ROWS, **settings})
    model = Protenix(config)
    load_weights(model, Weights(random_seed=0).arrays(shapes_of(model)))
    return model.set_train(False)


def torch_features(features: dict) -> dict:
    """Nest our flat features as upstream's tensors."""
    import torch

    nested: dict = {}
    for key, value in features.items():
        group, _, name = key.rpartition("/")
        place = nested.setdefault(group, {}) if group else nested
        place[name] = torch.from_numpy(value.copy())
    return nested


def upstream_config(model: str, words: dict[str, object], training: bool = False) -> object:
    """Read upstream's configuration, kernels set to "torch".

    Call it before upstream's other modules are imported. Initial weights are then not drawn, which
    takes minutes with scipy: they are replaced at once.
    """
    os.environ["LAYERNORM_TYPE"] = "torch"
    from configs.configs_base import configs as base
    from configs.configs_data import data_configs
    from configs.configs_inference import inference_configs
    from configs.configs_model_type import model_configs
    from protenix.config.config import parse_configs
    from protenix.model.modules import primitives
    from protenix.model.triangular import layers

    tree = copy.deepcopy({**base, "data": data_configs, **({} if training else inference_configs)})
    _merge(tree, copy.deepcopy(model_configs[model]))
    words = {"dtype": "fp32", "triangle_attention": "torch", "model_name": model,
             "triangle_multiplicative": "torch", "enable_tf32": "false", **words}
    text = " ".join(f"--{key} {value}" for key, value in words.items())
    for module in (primitives, layers):
        for name in [name for name in vars(module) if name.endswith("_init_")]:
            setattr(module, name, lambda weight, *args, **kwargs: None)
    return parse_configs(tree, text, fill_required_with_null=True)


def _merge(tree: dict, changes: dict) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value


def fill(module: object) -> object:
    """Put weights by rule into a module of upstream's; ours take the same arrays."""
    import torch

    from protenix_ms.model.weights import OWN, rule_array

    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name not in OWN and not name.endswith("_bins"):
                array = rule_array(name, tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(array))
    return module.eval()
