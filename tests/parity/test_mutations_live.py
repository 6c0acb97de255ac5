# SPDX-License-Identifier: Apache-2.0
"""Scores of substitutions beside the formulas of fair-esm's variant prediction, on its logits."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from protenix_ms.constants.restypes import AMINO_ACIDS
from protenix_ms.esm import load_encoder
from protenix_ms.esm.mutations import METHODS, scan_substitutions, score_variant
from protenix_ms.io.protein_sequences import ProteinSequence
from protenix_ms.io.substitutions import Scan, Substitution, Variant
from protenix_ms.predict.encoders import open_weights

torch = pytest.importorskip("torch", reason="parity needs PyTorch (extra `test`)")
esm = pytest.importorskip("esm", reason="parity needs fair-esm 2.0.0 (extra `test`)")

FILE = Path(__file__).parents[1] / "golden" / "esm" / "esm2_tiny_rule_half.pt"  # gain 3: sharp
SCANS = [Scan(ProteinSequence("a", "MKTAYIAKQRXGAVLI"), (1, 2, 5, 12, 16)),
         Scan(ProteinSequence("b", "GAVL<mask>WC"), (4, 7))]
BOUND = 3e-5  # of the largest score, as for recordings with sharp attention


@pytest.fixture(scope="module")
def fair_esm():
    with torch.serialization.safe_globals([argparse.Namespace]):
        model, alphabet = esm.pretrained.load_model_and_alphabet_local(FILE)
    return model.float().eval(), alphabet


def marginals(model, alphabet, scan, method):
    """Compute the log-probabilities of all tokens at the positions of a scan, as fair-esm does."""
    _, _, tokens = alphabet.get_batch_converter()([("", scan.protein.sequence)])
    rows = []
    for position in scan.positions:
        seen = tokens.clone()
        if method == "masked":
            seen[0, position] = alphabet.mask_idx
        with torch.no_grad():
            rows.append(torch.log_softmax(model(seen)["logits"], -1)[0, position])
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("method", METHODS)
def test_scores(fair_esm, method):
    model, alphabet = fair_esm
    ours = list(scan_substitutions(load_encoder(open_weights(FILE)), SCANS, method))
    columns = [alphabet.get_idx(letter) for letter in AMINO_ACIDS]
    for scan, mine in zip(SCANS, ours, strict=True):
        p = marginals(model, alphabet, scan, method)
        wild = [alphabet.get_idx(letter) for letter in scan.wild_types]
        theirs = p[:, columns] - p[range(len(wild)), wild][:, None]
        assert np.abs(mine - theirs).max() <= BOUND * np.abs(theirs).max()
        assert np.abs(theirs).max() > 0.1
    both = Variant("a", (Substitution("K", 2, "W"), Substitution("G", 12, "A")), ())
    p = marginals(model, alphabet, SCANS[0], method)
    token = alphabet.get_idx
    total = (p[1, token("W")] - p[1, token("K")]) + (p[3, token("A")] - p[3, token("G")])
    assert score_variant(both, SCANS[0], ours[0]) == pytest.approx(total, abs=1e-4)
