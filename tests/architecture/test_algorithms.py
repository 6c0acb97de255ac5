# SPDX-License-Identifier: Apache-2.0
"""Hold each AF3 algorithm to 30 lines of code: `python tests/architecture/test_algorithms.py`."""

import ast
import io
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "protenix_ms"
MOST = 30
BLANK = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
# Algorithm -> file and the function with its lines; a part of one stands behind its number.
ALGORITHMS = {
    "1, predict": "model/protenix.py Protenix.predict",
    "1, trunk": "model/protenix.py Protenix.trunk",
    "1, initial pair": "model/protenix.py Protenix._initial_pair",
    "1, one recycle": "model/protenix.py Protenix.update",
    "1, distogram": "model/distogram.py DistogramHead.construct",
    "2": "model/embedders.py InputFeatureEmbedder.construct",
    "3": "model/relative_position.py RelativePositionEncoding.construct",
    "3, features": "model/relative_position.py RelativePositions.rows",
    "4": "model/relative_position.py _one_hot",
    "5": "model/atom_transformer.py AtomAttentionEncoder.construct",
    "5, atoms": "model/atom_transformer.py AtomAttentionEncoder.condition",
    "5, atom pairs": "model/atom_transformer.py AtomAttentionEncoder._atom_pairs",
    "6": "model/atom_transformer.py AtomAttentionDecoder.construct",
    "7": "model/atom_transformer.py AtomTransformer.construct",
    "8": "model/msa_module.py MSAModule.construct",
    "8, one block": "model/msa_module.py MSABlock.construct",
    "9": "model/msa_module.py OuterProductMean.update",
    "10": "model/msa_module.py MSAPairWeightedAveraging.update",
    "11": "model/layers.py Transition.update",
    "12, 13": "model/triangle.py TriangleMultiplication.update",
    "14, 15": "model/triangle.py TriangleAttention.update",
    "16": "model/template.py TemplateEmbedder.construct",
    "16, one template": "model/template.py TemplateEmbedder._embed",
    "17": "model/pairformer.py PairformerStack.construct",
    "17, pair of a block": "model/pairformer.py PairformerBlock.pair",
    "17, single of a block": "model/pairformer.py PairformerBlock.single",
    "18": "model/sampler.py sample",
    "18, one step": "model/sampler.py _step",
    "19": "model/sampler.py centre_random_augmentation",
    "20": "model/diffusion.py DiffusionModule.construct",
    "20, update": "model/diffusion.py DiffusionModule._update",
    "21": "model/diffusion_conditioning.py DiffusionConditioning.construct",
    "21, pair": "model/diffusion_conditioning.py DiffusionConditioning.pair",
    "22": "model/diffusion_conditioning.py FourierEmbedding.construct",
    "23": "model/diffusion_transformer.py DiffusionTransformer.construct",
    "23, one block": "model/diffusion_transformer.py DiffusionTransformerBlock.construct",
    "24": "model/attention.py AttentionPairBias.update",
    "25": "model/diffusion_transformer.py ConditionedTransitionBlock.update",
    "26": "model/layers.py AdaptiveLayerNorm.construct",
    "27": "loss/smooth_lddt.py smooth_lddt_loss",
    "27, scores of rows": "loss/smooth_lddt.py _score_rows",
    "28": "geometry/rigid.py superpose",
    "29": "geometry/rigid.py express_in_frames",
    "30": "loss/binned.py pae_loss",
    "31": "model/confidence.py ConfidenceHead.construct",
    "31, one sample": "model/confidence.py ConfidenceHead._one_sample",
    "31, embedding": "model/confidence.py ConfidenceHead.embed",
}


def code_lines(place: str) -> int:
    """Count the lines of a function without its docstring, comments and blank lines."""
    file, _, dotted = place.partition(" ")
    source = (ROOT / file).read_text(encoding="utf-8")
    node = ast.parse(source)
    for name in dotted.split("."):
        node = next(n for n in node.body if getattr(n, "name", None) == name)
    code = {line for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type not in BLANK for line in range(token.start[0], token.end[0] + 1)}
    code &= set(range(node.lineno, node.end_lineno + 1))
    if ast.get_docstring(node):
        code -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(code)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_algorithm_fits_thirty_lines(algorithm):
    assert 2 <= code_lines(ALGORITHMS[algorithm]) <= MOST


if __name__ == "__main__":
    for number, function in ALGORITHMS.items():
        sys.stdout.write(f"{number:24} {code_lines(function):3}  {function}\n")
