# SPDX-License-Identifier: Apache-2.0
"""Names and shapes of every parameter of a configuration, without building the model.

The converter recognises and checks checkpoints by it without loading MindSpore; a test holds it
equal to the model itself and to upstream's state dicts. Each function below mirrors one module
and yields ``(name, shape)`` relative to it; linear weights are ``[out, in]``.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from ml_collections import ConfigDict

Shape = tuple[int, ...]
Names = Iterator[tuple[str, Shape]]

TRIANGLE_HEAD_WIDTH = 32
TRIANGLE_MULTIPLICATION_WIDTH = 128
OUTER_PRODUCT_WIDTH = 32
MSA_HEADS, MSA_HEAD_WIDTH = 8, 8
FOURIER_WIDTH = 256
RELATIVE_POSITION_WIDTH = 139  # 66 residue + 66 token + 1 entity + 6 chain classes
TEMPLATE_FEATURES = 108
MSA_FEATURES = 34
ATOM_FEATURES = 385  # mask 1 + element 128 + name characters 4 x 64
PLDDT_BINS, RESOLVED_BINS = 50, 2


def under(prefix: str, names: Names) -> Names:
    for name, shape in names:
        yield f"{prefix}.{name}", shape


def linear(name: str, c_out: int, c_in: int, bias: bool = False) -> Names:
    yield f"{name}.weight", (c_out, c_in)
    if bias:
        yield f"{name}.bias", (c_out,)


def layer_norm(name: str, c: int, offset: bool = True) -> Names:
    yield f"{name}.weight", (c,)
    if offset:
        yield f"{name}.bias", (c,)


def transition(c: int, n: int) -> Names:
    yield from layer_norm("layernorm1", c)
    yield from linear("linear_no_bias_a", n * c, c)
    yield from linear("linear_no_bias_b", n * c, c)
    yield from linear("linear_no_bias", c, n * c)


def adaln(c_a: int, c_s: int) -> Names:
    yield from layer_norm("layernorm_s", c_s, offset=False)
    yield from linear("linear_s", c_a, c_s, bias=True)
    yield from linear("linear_nobias_s", c_a, c_s)


def attention(c: int) -> Names:
    yield from linear("linear_q", c, c, bias=True)
    for projection in "kvog":
        yield from linear(f"linear_{projection}", c, c)


def triangle_multiplication(c_z: int, c_hidden: int) -> Names:
    yield from linear("linear_g", c_z, c_z)
    yield from linear("linear_z", c_z, c_hidden)
    yield from layer_norm("layer_norm_in", c_z)
    yield from layer_norm("layer_norm_out", c_hidden)
    for projection in ("a_p", "a_g", "b_p", "b_g"):
        yield from linear(f"linear_{projection}", c_hidden, c_z)


def triangle_attention(c_z: int, n_heads: int) -> Names:
    width = n_heads * TRIANGLE_HEAD_WIDTH
    yield from layer_norm("layer_norm", c_z)
    yield from linear("linear", n_heads, c_z)
    for projection in "qkvg":
        yield from linear(f"mha.linear_{projection}", width, c_z)
    yield from linear("mha.linear_o", c_z, width)


def pairformer_block(c_z: int, c_s: int, n_heads: int, scale_up: bool, n: int = 4) -> Names:
    """`c_s` 0: pair track only, as in the MSA module and the template embedder."""
    c_hidden = c_z if scale_up else TRIANGLE_MULTIPLICATION_WIDTH
    heads = c_z // TRIANGLE_HEAD_WIDTH if scale_up else 4
    for direction in ("out", "in"):
        yield from under(f"tri_mul_{direction}", triangle_multiplication(c_z, c_hidden))
    for node in ("start", "end"):
        yield from under(f"tri_att_{node}", triangle_attention(c_z, heads))
    yield from under("pair_transition", transition(c_z, n))
    if c_s:
        yield from layer_norm("attention_pair_bias.layernorm_a", c_s)
        yield from under("attention_pair_bias.attention", attention(c_s))
        yield from layer_norm("attention_pair_bias.layernorm_z", c_z)
        yield from linear("attention_pair_bias.linear_nobias_z", n_heads, c_z)
        yield from under("single_transition", transition(c_s, 4))


def diffusion_block(c_a: int, c_s: int, c_z: int, n_heads: int, cross: bool) -> Names:
    """`cross`: the atom transformer, whose keys have an adaptive norm of their own."""
    for norm in ("layernorm_a", "layernorm_kv")[: 2 if cross else 1]:
        yield from under(f"attention_pair_bias.{norm}", adaln(c_a, c_s))
    yield from under("attention_pair_bias.attention", attention(c_a))
    yield from layer_norm("attention_pair_bias.layernorm_z", c_z, offset=False)
    yield from linear("attention_pair_bias.linear_nobias_z", n_heads, c_z)
    yield from linear("attention_pair_bias.linear_a_last", c_a, c_s, bias=True)
    yield from under("conditioned_transition_block.adaln", adaln(c_a, c_s))
    for projection in ("a1", "a2"):
        yield from linear(f"conditioned_transition_block.linear_nobias_{projection}", 2 * c_a, c_a)
    yield from linear("conditioned_transition_block.linear_nobias_b", c_a, 2 * c_a)
    yield from linear("conditioned_transition_block.linear_s", c_a, c_s, bias=True)


def atom_transformer(c_atom: int, c_pair: int, stack: ConfigDict) -> Names:
    for i in range(stack.n_blocks):
        block = diffusion_block(c_atom, c_atom, c_pair, stack.n_heads, cross=True)
        yield from under(f"atom_transformer.diffusion_transformer.blocks.{i}", block)


def atom_attention_encoder(c: ConfigDict, stack: ConfigDict, with_coords: bool) -> Names:
    yield from linear("linear_no_bias_ref_pos", c.c_atom, 3)
    yield from linear("linear_no_bias_ref_charge", c.c_atom, 1)
    yield from linear("linear_no_bias_f", c.c_atom, ATOM_FEATURES)
    yield from linear("linear_no_bias_d", c.c_atompair, 3)
    yield from linear("linear_no_bias_invd", c.c_atompair, 1)
    yield from linear("linear_no_bias_v", c.c_atompair, 1)
    if with_coords:
        yield from layer_norm("layernorm_s", c.c_s, offset=False)
        yield from linear("linear_no_bias_s", c.c_atom, c.c_s)
        yield from layer_norm("layernorm_z", c.c_z, offset=False)
        yield from linear("linear_no_bias_z", c.c_atompair, c.c_z)
        yield from linear("linear_no_bias_r", c.c_atom, 3)
    yield from linear("linear_no_bias_cl", c.c_atompair, c.c_atom)
    yield from linear("linear_no_bias_cm", c.c_atompair, c.c_atom)
    for i in (1, 3, 5):  # the even places of the sequence are activations
        yield from linear(f"small_mlp.{i}", c.c_atompair, c.c_atompair)
    yield from atom_transformer(c.c_atom, c.c_atompair, stack)
    yield from linear("linear_no_bias_q", c.c_token, c.c_atom)


def input_embedder(c: ConfigDict, c_s_inputs: int, esm: ConfigDict) -> Names:
    encoder = atom_attention_encoder(c, c, with_coords=False)
    yield from under("atom_attention_encoder", encoder)
    if esm.enable:
        yield from linear("linear_esm", c_s_inputs, esm.embedding_dim)


def template_embedder(c: ConfigDict) -> Names:
    yield from linear("linear_no_bias_z", c.c, c.c_z)
    yield from layer_norm("layernorm_z", c.c_z)
    yield from linear("linear_no_bias_a", c.c, TEMPLATE_FEATURES)
    for i in range(c.n_blocks):
        block = pairformer_block(c.c, 0, 0, c.hidden_scale_up, n=2)
        yield from under(f"pairformer_stack.blocks.{i}", block)
    yield from layer_norm("layernorm_v", c.c)
    yield from linear("linear_no_bias_u", c.c_z, c.c)


def msa_block(c: ConfigDict, last: bool) -> Names:
    """The last block has no MSA stack: nothing reads its rows."""
    yield from layer_norm("outer_product_mean_msa.layer_norm", c.c_m)
    yield from linear("outer_product_mean_msa.linear_1", OUTER_PRODUCT_WIDTH, c.c_m)
    yield from linear("outer_product_mean_msa.linear_2", OUTER_PRODUCT_WIDTH, c.c_m)
    yield from linear("outer_product_mean_msa.linear_out", c.c_z, OUTER_PRODUCT_WIDTH**2, bias=True)
    if not last:
        width, averaging = MSA_HEADS * MSA_HEAD_WIDTH, "msa_stack.msa_pair_weighted_averaging"
        yield from layer_norm(f"{averaging}.layernorm_m", c.c_m)
        yield from linear(f"{averaging}.linear_no_bias_mv", width, c.c_m)
        yield from layer_norm(f"{averaging}.layernorm_z", c.c_z)
        yield from linear(f"{averaging}.linear_no_bias_z", MSA_HEADS, c.c_z)
        yield from linear(f"{averaging}.linear_no_bias_mg", width, c.c_m)
        yield from linear(f"{averaging}.linear_no_bias_out", c.c_m, width)
        yield from under("msa_stack.transition_m", transition(c.c_m, 4))
    yield from under("pair_stack", pairformer_block(c.c_z, 0, 0, c.hidden_scale_up))


def msa_module(c: ConfigDict) -> Names:
    yield from linear("linear_no_bias_m", c.c_m, MSA_FEATURES)
    yield from linear("linear_no_bias_s", c.c_m, c.c_s_inputs)
    for i in range(c.n_blocks):
        yield from under(f"blocks.{i}", msa_block(c, last=i == c.n_blocks - 1))


def substructure_embedder(c: ConfigDict, c_z: int) -> Names:
    """Upstream uses PyTorch's own encoder layer, hence its leaf names."""
    d = c.hidden_dim
    yield from linear("input_proj", d, c.n_classes)
    for i in range(c.n_layers):
        layer = f"transformer.layers.{i}"
        yield f"{layer}.self_attn.in_proj_weight", (3 * d, d)
        yield f"{layer}.self_attn.in_proj_bias", (3 * d,)
        yield from linear(f"{layer}.self_attn.out_proj", d, d, bias=True)
        yield from linear(f"{layer}.linear1", 4 * d, d, bias=True)
        yield from linear(f"{layer}.linear2", d, 4 * d, bias=True)
        yield from layer_norm(f"{layer}.norm1", d)
        yield from layer_norm(f"{layer}.norm2", d)
    yield from linear("output_proj", c_z, d)


def constraint_embedder(c: ConfigDict) -> Names:
    for kind in ("pocket", "contact", "contact_atom"):
        if c[f"{kind}_embedder"].enable:
            width = c[f"{kind}_embedder"].c_z_input
            yield from linear(f"{kind}_z_embedder", c.c_constraint_z, width)
    if c.substructure_embedder.enable:
        embedder = substructure_embedder(c.substructure_embedder, c.c_constraint_z)
        yield from under("substructure_z_embedder", embedder)


def pairformer_stack(n_blocks: int, c_z: int, c_s: int, n_heads: int, scale_up: bool) -> Names:
    for i in range(n_blocks):
        yield from under(f"pairformer_stack.blocks.{i}",
                         pairformer_block(c_z, c_s, n_heads, scale_up))


def diffusion_conditioning(c: ConfigDict) -> Names:
    yield from linear("relpe.linear_no_bias", c.c_z, RELATIVE_POSITION_WIDTH)
    yield from layer_norm("layernorm_z", 2 * c.c_z, offset=False)
    yield from linear("linear_no_bias_z", c.c_z, 2 * c.c_z)
    yield from under("transition_z1", transition(c.c_z, 2))
    yield from under("transition_z2", transition(c.c_z, 2))
    yield from layer_norm("layernorm_s", c.c_s + c.c_s_inputs, offset=False)
    yield from linear("linear_no_bias_s", c.c_s, c.c_s + c.c_s_inputs)
    yield "fourier_embedding.w", (FOURIER_WIDTH,)
    yield "fourier_embedding.b", (FOURIER_WIDTH,)
    yield from layer_norm("layernorm_n", FOURIER_WIDTH, offset=False)
    yield from linear("linear_no_bias_n", c.c_s, FOURIER_WIDTH)
    yield from under("transition_s1", transition(c.c_s, 2))
    yield from under("transition_s2", transition(c.c_s, 2))


def diffusion_module(c: ConfigDict) -> Names:
    yield from under("diffusion_conditioning", diffusion_conditioning(c))
    encoder = atom_attention_encoder(c, c.atom_encoder, with_coords=True)
    yield from under("atom_attention_encoder", encoder)
    yield from layer_norm("layernorm_s", c.c_s, offset=False)
    yield from linear("linear_no_bias_s", c.c_token, c.c_s)
    for i in range(c.transformer.n_blocks):
        block = diffusion_block(c.c_token, c.c_s, c.c_z, c.transformer.n_heads, cross=False)
        yield from under(f"diffusion_transformer.blocks.{i}", block)
    yield from layer_norm("layernorm_a", c.c_token, offset=False)
    yield from linear("atom_attention_decoder.linear_no_bias_a", c.c_atom, c.c_token)
    yield from layer_norm("atom_attention_decoder.layernorm_q", c.c_atom, offset=False)
    yield from linear("atom_attention_decoder.linear_no_bias_out", 3, c.c_atom)
    decoder = atom_transformer(c.c_atom, c.c_atompair, c.atom_decoder)
    yield from under("atom_attention_decoder", decoder)


def distance_bins(c: ConfigDict) -> int:
    """Number of distance bins fed to the confidence head."""
    return round((c.distance_bin_end - c.distance_bin_start) / c.distance_bin_step)


def confidence_head(c: ConfigDict, no_bins: int) -> Names:
    n_distance = distance_bins(c)
    yield "lower_bins", (n_distance,)
    yield "upper_bins", (n_distance,)
    yield "plddt_weight", (c.max_atoms_per_token, c.c_s, PLDDT_BINS)
    yield "resolved_weight", (c.max_atoms_per_token, c.c_s, RESOLVED_BINS)
    yield from linear("linear_no_bias_s1", c.c_z, c.c_s_inputs)
    yield from linear("linear_no_bias_s2", c.c_z, c.c_s_inputs)
    yield from linear("linear_no_bias_d", c.c_z, n_distance)
    yield from linear("linear_no_bias_d_wo_onehot", c.c_z, 1)
    yield from pairformer_stack(c.n_blocks, c.c_z, c.c_s, 16, c.hidden_scale_up)
    yield from linear("linear_no_bias_pae", no_bins, c.c_z)
    yield from linear("linear_no_bias_pde", no_bins, c.c_z)
    yield from layer_norm("input_strunk_ln", c.c_s)
    yield from layer_norm("pae_ln", c.c_z)
    yield from layer_norm("pde_ln", c.c_z)
    yield from layer_norm("plddt_ln", c.c_s)
    yield from layer_norm("resolved_ln", c.c_s)


def recycling_and_initialisation(c_s: int, c_z: int, c_s_inputs: int) -> Names:
    yield from linear("linear_no_bias_sinit", c_s, c_s_inputs)
    yield from linear("linear_no_bias_zinit1", c_z, c_s)
    yield from linear("linear_no_bias_zinit2", c_z, c_s)
    yield from linear("linear_no_bias_token_bond", c_z, 1)
    yield from linear("linear_no_bias_z_cycle", c_z, c_z)
    yield from linear("linear_no_bias_s", c_s, c_s)
    yield from layer_norm("layernorm_z_cycle", c_z)
    yield from layer_norm("layernorm_s", c_s)


def manifest(config: ConfigDict) -> dict[str, Shape]:
    """Every parameter of a configuration: upstream's state-dict name -> shape.

    Fourier coefficients and distance bins are included: the file holds them, training does not
    change them.
    """
    m, w = config.model, config.widths
    c_z, c_s = m.pairformer.c_z, m.pairformer.c_s
    modules = {
        "input_embedder": input_embedder(m.input_embedder, w.c_s_inputs, config.esm),
        "relative_position_encoding":
            linear("linear_no_bias", c_z, RELATIVE_POSITION_WIDTH),
        "template_embedder": template_embedder(m.template_embedder),
        "msa_module": msa_module(m.msa_module),
        "constraint_embedder": constraint_embedder(m.constraint_embedder),
        "diffusion_module": diffusion_module(m.diffusion_module),
        "distogram_head": linear("linear", m.distogram_head.no_bins, c_z, bias=True),
        "confidence_head": confidence_head(m.confidence_head, w.no_bins),
    }
    names = {n: s for module, body in modules.items() for n, s in under(module, body)}
    names.update(pairformer_stack(m.pairformer.n_blocks, c_z, c_s, m.pairformer.n_heads,
                                  m.pairformer.hidden_scale_up))
    names.update(recycling_and_initialisation(c_s, c_z, w.c_s_inputs))
    return names


def parameter_count(config: ConfigDict) -> int:
    """Number of scalars in all parameters of a configuration."""
    return sum(prod(shape) for shape in manifest(config).values())
