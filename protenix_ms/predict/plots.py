# SPDX-License-Identifier: Apache-2.0
"""One picture per sample (aligned error between tokens, pLDDT along them), contact map, or scan.

matplotlib (extra `plot`) is imported when the first picture is drawn.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.constants.restypes import AMINO_ACIDS
from protenix_ms.io.atomic import write_bytes
from protenix_ms.io.substitutions import Scan
from protenix_ms.predict.outputs import JobFolder
from protenix_ms.predict.predictor import Sample, SeedResult
from protenix_ms.typing import Array, Float, Int

PAE_LIMIT = 32.0  # angstrom, the largest error the head knows
# Colours of the AlphaFold database, by least pLDDT.
BANDS = ((90, "#0053d6", "very high"), (70, "#65cbf3", "high"), (50, "#ffdb13", "low"),
         (0, "#ff7d45", "very low"))
_MAX_CHAIN_NAMES = 24
_MAX_POSITIONS = 220  # that are named under a heat map


def can_plot() -> bool:
    """Tell whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


@dataclass(frozen=True)
class TokenAxis:
    """Chains along the tokens: first token of every chain, its name, and the token count."""

    starts: Int[Array, "c"]
    names: tuple[str, ...]
    n: int

    @classmethod
    def from_atoms(cls, atoms: AtomTable, atom_to_token: Int[Array, "a"]) -> TokenAxis:
        """Find the chains along the tokens of an example."""
        first = np.unique(atom_to_token, return_index=True)[1]
        chain = atoms.chain_id[first]
        starts = np.flatnonzero(np.r_[True, chain[1:] != chain[:-1]])
        return cls(starts, tuple(chain[starts].tolist()), len(chain))

    @property
    def ends(self) -> Int[Array, "c"]:
        return np.append(self.starts[1:], self.n)


def token_plddt(
    atom_plddt: Float[Array, "a"], atom_to_token: Int[Array, "a"]
) -> Float[Array, "n"]:
    """Average the pLDDT of every token's atoms."""
    return np.bincount(atom_to_token, atom_plddt) / np.bincount(atom_to_token)


def draw_seed(folder: JobFolder, result: SeedResult, label: str) -> None:
    """Write a PNG beside every sample of a seed; the same bytes for the same result."""
    for rank, sample in enumerate(result.samples):
        scores = sample.summary
        title = (f"{result.job.name}, seed {result.seed}, sample {rank}:  "
                 f"ranking {scores['ranking_score']:.2f}   pLDDT {scores['plddt']:.1f}   "
                 f"pTM {scores['ptm']:.2f}   ipTM {scores['iptm']:.2f}")
        axis = TokenAxis.from_atoms(result.atoms, sample.full_data["atom_to_token_idx"])
        png = confidence_png(sample, axis, title, label)
        write_bytes(folder.sample(result.seed, "confidence_", rank, ".png"), png)


def confidence_png(sample: Sample, axis: TokenAxis, title: str, label: str) -> bytes:
    """Draw the PAE as a heat map on the left, pLDDT along the tokens on the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5.6), layout="constrained")
    heat, line = figure.subplots(1, 2, width_ratios=(1, 1.25))
    figure.suptitle(title, fontsize=12)
    figure.supxlabel(label, fontsize=8, color="#b00020" if "RANDOM" in label else "#555555")
    _draw_pae(figure, heat, sample.full_data["token_pair_pae"], axis)
    plddt = token_plddt(sample.plddt, sample.full_data["atom_to_token_idx"])
    _draw_plddt(line, plddt, axis)
    return _png(figure)


def contacts_png(contacts: Float[Array, "l l"], title: str, label: str) -> bytes:
    """Draw the probability of contact of every two residues as a heat map."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5.4), layout="constrained")
    axes = figure.subplots()
    end = len(contacts) + 0.5
    image = axes.imshow(contacts.astype(np.float32), cmap="Blues", vmin=0, vmax=1,
                        extent=(0.5, end, end, 0.5), interpolation="nearest")
    axes.set(xlabel="residue", ylabel="residue", title=title)
    figure.supxlabel(label, fontsize=8, color="#555555")
    figure.colorbar(image, ax=axes, label="probability of contact", shrink=0.85)
    return _png(figure)


def mutations_png(scores: Float[Array, "p 20"], scan: Scan, title: str, label: str) -> bytes:
    """Draw the log-odds of every residue at every position; a dot marks the wild type."""
    from matplotlib.figure import Figure

    names = [f"{w}{n}" for w, n in zip(scan.wild_types, scan.positions)]
    figure = Figure(figsize=(min(4 + 0.16 * len(names), 40), 5), layout="constrained")
    axes = figure.subplots()
    limit = max(float(np.abs(scores).max()), 1e-6)
    image = axes.imshow(scores.T, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto",
                        interpolation="nearest")
    wild = [AMINO_ACIDS.index(letter) for letter in scan.wild_types]
    axes.scatter(np.arange(len(wild)), wild, s=4, color="black", linewidths=0)
    axes.set_yticks(range(len(AMINO_ACIDS)), AMINO_ACIDS, fontsize=8)
    step = -(-len(names) // _MAX_POSITIONS)
    axes.set_xticks(range(0, len(names), step), names[::step], rotation=90, fontsize=7)
    axes.set(xlabel="wild type and position", ylabel="mutant", title=title)
    figure.supxlabel(label, fontsize=8, color="#555555")
    figure.colorbar(image, ax=axes, label="log-odds over the wild type")
    return _png(figure)


def precision_recall_png(
    curves: Mapping[str, tuple[Float[Array, "k"], Float[Array, "k"]]], title: str, label: str
) -> bytes:
    """Draw precision over recall of several methods; a dot marks the largest harmonic mean.

    Args:
        curves: recall and precision of every method.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for name, (recall, precision) in curves.items():
        f = np.nan_to_num(2 * recall * precision / np.maximum(recall + precision, 1e-12))
        best = int(np.argmax(f))
        line, = axes.plot(recall, precision, label=f"{name}: Fmax {f[best]:.3f}")
        axes.plot(recall[best], precision[best], "o", color=line.get_color())
    axes.set(xlabel="recall", ylabel="precision", title=title, xlim=(0, 1), ylim=(0, 1.02))
    axes.legend()
    figure.supxlabel(label, fontsize=8, color="#555555")
    return _png(figure)


def _png(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _name_chains(axes, axis: TokenAxis) -> None:
    """Write the names of the chains over an axes."""
    if len(axis.names) > _MAX_CHAIN_NAMES or len(axis.names) < 2:
        return
    top = axes.secondary_xaxis("top")
    wide = (axis.ends - axis.starts) >= 0.02 * axis.n  # narrower ones would overlap
    middles = (axis.starts + axis.ends - 1) / 2
    top.set_xticks(middles[wide], [n for n, w in zip(axis.names, wide) if w])
    top.tick_params(length=0, pad=1)


def _draw_pae(figure, axes, pae: Float[Array, "n n"], axis: TokenAxis) -> None:
    extent = (-0.5, axis.n - 0.5, axis.n - 0.5, -0.5)
    image = axes.imshow(pae, cmap="Greens_r", vmin=0, vmax=PAE_LIMIT, extent=extent,
                        interpolation="nearest")
    for start in axis.starts[1:]:
        axes.axhline(start - 0.5, color="black", linewidth=0.7)
        axes.axvline(start - 0.5, color="black", linewidth=0.7)
    axes.set(xlabel="scored token", ylabel="aligned token")
    _name_chains(axes, axis)
    figure.colorbar(image, ax=axes, label="expected position error (\u00c5)", shrink=0.85)


def _draw_plddt(axes, plddt: Float[Array, "n"], axis: TokenAxis) -> None:
    upper = 100
    for least, colour, word in BANDS:
        axes.axhspan(least, upper, color=colour, alpha=0.16, linewidth=0)
        axes.text(1.005, (least + upper) / 2, word, transform=axes.get_yaxis_transform(),
                  fontsize=8, color="#555555", va="center")
        upper = least
    for start, end in zip(axis.starts, axis.ends):
        marker = "o" if end - start < 3 else None
        axes.plot(np.arange(start, end), plddt[start:end], color="#1a1a1a", linewidth=1.1,
                  marker=marker, markersize=3)
    for start in axis.starts[1:]:
        axes.axvline(start - 0.5, color="black", linewidth=0.5, alpha=0.6)
    axes.set(xlabel="token", ylabel="pLDDT (mean over atoms)", xlim=(-0.5, axis.n - 0.5),
             ylim=(0, 100))
    _name_chains(axes, axis)
