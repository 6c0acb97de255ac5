# SPDX-License-Identifier: Apache-2.0
"""The bf16 policy as a table: upstream's fp32 islands by module, job size and variant."""

import pytest

from protenix_ms.config.parameters import released_shapes
from protenix_ms.runtime.precision import ISLANDS, LONG, VERY_LONG, dtype_of, dtypes

BASE, V2 = "protenix_base_default_v1.0.0", "protenix-v2"
TABLE = [  # layer, dtype up to 2560 tokens, up to 3840, beyond
    ("input_embedder.atom_attention_encoder.linear_no_bias_ref_pos", "fp32", "fp32", "fp32"),
    ("input_embedder.atom_attention_encoder.linear_no_bias_d", "fp32", "fp32", "fp32"),
    ("input_embedder.atom_attention_encoder.linear_no_bias_f", "bf16", "bf16", "bf16"),
    ("linear_no_bias_zinit1", "bf16", "bf16", "bf16"),
    ("msa_module.blocks.0.outer_product_mean_msa.linear_1", "bf16", "bf16", "bf16"),
    ("pairformer_stack.blocks.3.tri_att_start.mha.linear_q", "bf16", "bf16", "bf16"),
    ("distogram_head.linear", "bf16", "bf16", "bf16"),
    ("diffusion_module.diffusion_transformer.blocks.0.attention_pair_bias.attention.linear_q",
     "fp32", "fp32", "bf16"),
    ("diffusion_module.linear_no_bias_s", "fp32", "fp32", "fp32"),
    ("diffusion_module.diffusion_conditioning.linear_no_bias_z", "fp32", "fp32", "fp32"),
    ("diffusion_module.diffusion_conditioning.transition_z1.linear_no_bias", "fp32", "fp32",
     "bf16"),
    ("diffusion_module.atom_attention_encoder.linear_no_bias_r", "fp32", "fp32", "fp32"),
    ("diffusion_module.atom_attention_encoder.linear_no_bias_q", "fp32", "fp32", "bf16"),
    ("diffusion_module.atom_attention_decoder.linear_no_bias_out", "fp32", "fp32", "fp32"),
    ("confidence_head.pairformer_stack.blocks.0.pair_transition.linear_no_bias",
     "fp32", "bf16", "bf16"),
    ("confidence_head.linear_no_bias_pae", "fp32", "fp32", "fp32"),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_base(row):
    layer, *expected = row
    sizes = (LONG, VERY_LONG, VERY_LONG + 1)
    assert [dtype_of(layer, n, BASE) for n in sizes] == expected


def test_confidence_of_v2_is_no_island():
    layer = "confidence_head.pairformer_stack.blocks.0.pair_transition.linear_no_bias"
    assert dtype_of(layer, 100, V2) == "bf16"
    assert dtype_of("confidence_head.linear_no_bias_pae", 100, V2) == "fp32"


def test_training_moves_two_islands():
    """As upstream's `skip_amp`: confidence in bf16, the distogram in fp32; logits always fp32."""
    layer = "confidence_head.pairformer_stack.blocks.0.pair_transition.linear_no_bias"
    moved = {"distogram_head.linear": "fp32", layer: "bf16",
             "confidence_head.linear_no_bias_pae": "fp32",
             "diffusion_module.linear_no_bias_s": "fp32", "linear_no_bias_zinit1": "bf16"}
    assert {name: dtype_of(name, 100, BASE, training=True) for name in moved} == moved


def test_every_island_names_layers_that_exist():
    names = {n.rpartition(".")[0] or n for n in released_shapes(BASE)}
    names |= set(released_shapes(BASE))
    for island in ISLANDS:
        below = {n for n in names if n.startswith(island.prefix)}
        assert below, island
        assert set(island.leaves) <= {n.rpartition(".")[2] for n in below}, island


def test_most_of_the_trunk_is_bf16():
    layers = {n.rpartition(".")[0] for n in released_shapes(BASE) if "." in n}
    table = dtypes(layers, 100, BASE)
    assert {d for n, d in table.items() if n.startswith("pairformer_stack")} == {"bf16"}
    assert {d for n, d in table.items() if n.startswith("diffusion_module")} == {"fp32"}
