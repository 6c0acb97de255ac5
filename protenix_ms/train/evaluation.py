# SPDX-License-Identifier: Apache-2.0
"""Scores of a model on known structures; labels are put in the order that fits a sample best.

Of several samples three are reported, as upstream does: the best one by the score itself, the one
that the model ranks first, and the median.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from ml_collections import ConfigDict

from protenix_ms.data.dataset import DrawnExample
from protenix_ms.data.example import TrainingExample
from protenix_ms.errors import NonFiniteError
from protenix_ms.metrics.confidence import Layout, summarize
from protenix_ms.metrics.permutation import permute_labels
from protenix_ms.metrics.quality import KnownComplex, Quality, judge
from protenix_ms.model.protenix import Protenix
from protenix_ms.runtime.draws import SeededDraws

SCORES = {"lddt": True, "rmsd": False, "tm_score": True}  # whether more is better
CHOICES = ("best", "rank1", "median")
_STREAM = 0x5EED  # keeps the noise apart from training's

Report = Callable[[dict], None]


@dataclass(frozen=True)
class Judged:
    """Samples of one example, in the sampler's order.

    Attributes:
        quality: of each sample.
        ranking: score by which the model ranks each.
    """

    quality: tuple[Quality, ...]
    ranking: tuple[float, ...]

    def chosen(self, values: list[float], more_is_better: bool = True) -> dict[str, float | None]:
        """Choose the best, first-ranked and median of a value per sample; None where undefined."""
        ordered = sorted(values, reverse=more_is_better)
        rank1 = values[int(np.argmax(self.ranking))]
        choices = (ordered[0], rank1, ordered[len(values) // 2])
        return {name: _or_none(value) for name, value in zip(CHOICES, choices)}

    def scores(self, names: list[str]) -> dict:
        """Make a line of the record.

        Args:
            names: of the chains.
        """
        line: dict = {score: self.chosen([getattr(q, score) for q in self.quality], more)
                      for score, more in SCORES.items()}
        clash = [float(q.clash) for q in self.quality]
        line["clash"] = {"mean": float(np.mean(clash)), "rank1": self.chosen(clash)["rank1"]}
        line |= {"chain_lddt": {}, "pair_lddt": {}}
        for i, j in zip(*np.triu_indices(len(names))):
            group = line["chain_lddt" if i == j else "pair_lddt"]
            if math.isfinite(self.quality[0].chain_lddt[i, j]):  # the same pairs in all samples
                name = names[i] if i == j else f"{names[i]}-{names[j]}"
                group[name] = self.chosen([float(q.chain_lddt[i, j]) for q in self.quality])
        return line


def _or_none(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def judged_samples(model: Protenix, example: TrainingExample, draws: SeededDraws) -> Judged:
    """Sample an example as `predict` does, and judge every sample.

    Raises:
        NonFiniteError: the model gives no numbers.
    """
    features, labels = example.features, (example.labels, example.labels_full)
    prediction, layout = model.predict(features, draws), Layout.from_features(features)
    quality, ranking = [], []
    for x, confidence in zip(prediction.coordinates, prediction.confidence):
        known = permute_labels(x, features, labels, example.permutations, draws)
        quality.append(judge(x, KnownComplex.from_features(features, known.x, known.resolved)))
        summary = summarize(confidence, x, prediction.contact_probs, layout,
                            int(model.config.model.N_cycle))
        ranking.append(float(summary["ranking_score"]))
    return Judged(tuple(quality), tuple(ranking))


def chain_names(example: TrainingExample) -> list[str]:
    """List the names of the chains in the order of `asym_id`."""
    asym = np.asarray(example.features["asym_id"])[example.features["atom_to_token_idx"]]
    first = np.unique(asym, return_index=True)[1]
    return [str(name) for name in example.atoms.chain_id[first]]


class Evaluation:
    """Scores a model on held-out entries.

    Args:
        examples: of every pass the same, such as `HeldOut`.
        config: ``config.training.evaluation``: `samples`, `steps`, `cycles`; 0 for the model's own.
    """

    def __init__(self, examples: Iterable[DrawnExample], config: ConfigDict) -> None:
        self._examples, self._config = examples, config

    def run(self, model: Protenix, step: int, report: Report | None = None) -> list[dict]:
        """Make a line per entry, and a line of means named "all" at the end.

        Noise follows from the entry's place alone: two models, or two steps, see the same.

        Args:
            step: updates that the model has seen, recorded in every line.
            report: called with each line as it comes.
        """
        lines: list[dict] = []
        with _as_predictor(model, self._config):
            for place, drawn in enumerate(self._examples):
                lines.append({"step": step, **self._line(model, drawn, place)})
                if report is not None:
                    report(lines[-1])
        lines.append({"step": step, **mean_line(lines)})
        if report is not None:
            report(lines[-1])
        return lines

    def _line(self, model: Protenix, drawn: DrawnExample, place: int) -> dict:
        example = drawn.example
        head = {"entry": drawn.row["pdb_id"], "tokens": len(example.tokens)}
        try:
            judged = judged_samples(model, example, SeededDraws(_STREAM, place))
        except NonFiniteError as error:
            return {**head, "failed": str(error)}
        return {**head, **judged.scores(chain_names(example))}


@contextmanager
def _as_predictor(model: Protenix, config: ConfigDict) -> Iterator[None]:
    """Run the model as `predict` does for the block, with the sizes of `config`."""
    sampler, whole = model.config.sample_diffusion, model.config.model
    before = (sampler.N_sample, sampler.N_step, whole.N_cycle, model.training)
    try:
        sampler.N_sample = config.samples or before[0]
        sampler.N_step = config.steps or before[1]
        whole.N_cycle = config.cycles or before[2]
        model.set_train(False)
        yield
    finally:
        sampler.N_sample, sampler.N_step, whole.N_cycle = before[:3]
        model.set_train(before[3])


def mean_line(lines: list[dict]) -> dict:
    """Average over the entries that have a score, and count those that failed."""
    good = [line for line in lines if "failed" not in line]
    line: dict = {"entry": "all", "entries": len(good), "failed_entries": len(lines) - len(good)}
    for score in (*SCORES, "clash"):
        kinds = ("mean", "rank1") if score == "clash" else CHOICES
        line[score] = {kind: _mean([one[score][kind] for one in good]) for kind in kinds}
    for group in ("chain_lddt", "pair_lddt"):
        values = [value for one in good for value in one[group].values()]
        line[group] = {kind: _mean([value[kind] for value in values]) for kind in CHOICES}
    return line


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _or_none(float(np.mean(known))) if known else None
