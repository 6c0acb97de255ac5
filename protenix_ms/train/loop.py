# SPDX-License-Identifier: Apache-2.0
"""The training loop: examples to updates, with a log and checkpoints.

What happens at a step follows from the seed, the step and the weights alone; a run that was
killed and goes on from its last checkpoint gives the same bits as one that was not.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mindspore import Parameter, Tensor, float32, ops
from ml_collections import ConfigDict

from protenix_ms.config.training import require_usable
from protenix_ms.errors import NonFiniteError
from protenix_ms.loss.total import CONFIDENCE, DIFFUSION
from protenix_ms.model.protenix import Protenix
from protenix_ms.model.weights import load_weights
from protenix_ms.runtime.draws import SeededDraws
from protenix_ms.runtime.ranks import Ranks
from protenix_ms.train.checkpoint import Snapshot, arrays_of, latest_snapshot, write_snapshot
from protenix_ms.train.evaluation import Evaluation
from protenix_ms.train.optimiser import (
    Adam,
    MovingAverage,
    clipping,
    learning_rate,
    total_norm,
    words,
)
from protenix_ms.train.record import EVALUATION, LOG, Record
from protenix_ms.train.step import Example, StepResult, TrainingStep

Examples = Callable[[int], Iterator[Example]]
"""Examples from a position on, without end; the same ones at every call."""

Report = Callable[[dict], None]

TERMS = (*DIFFUSION, "distogram", *CONFIDENCE)
MOST_SKIPPED = 10  # updates in a row without finite gradients


@dataclass
class Total:
    """Losses, terms and gradients of the examples of one update, summed.

    Attributes:
        stop: processes that were asked to stop.
        count: examples that were finite.
    """

    stop: float = 0.0
    count: int = 0
    loss: float = 0.0
    terms: dict[str, float] = field(default_factory=dict)
    gradients: dict[str, Tensor] = field(default_factory=dict)

    def add(self, result: StepResult, share: float) -> None:
        """Add one example's result times `share`."""
        self.count += 1
        self.loss += result.loss * share
        for name, value in result.terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + value * share
        for name, gradient in result.gradients.items():
            part = gradient * share if share != 1 else gradient
            self.gradients[name] = self.gradients[name] + part if name in self.gradients else part

    def over_ranks(self, ranks: Ranks, parameters: list[Parameter]) -> Total:
        """Sum over all processes; one that left out all its examples adds zeros."""
        numbers = [self.stop, self.count, self.loss, *(self.terms.get(k, 0.0) for k in TERMS)]
        parts = [self.gradients[p.name].reshape(-1) if p.name in self.gradients
                 else ops.zeros(p.size, float32) for p in parameters]
        flat = ranks.total(ops.concat([Tensor(numbers, float32), *parts], 0))
        stop, count, loss, *terms = flat[: len(numbers)].asnumpy().tolist()
        ends = np.cumsum([len(numbers), *(p.size for p in parameters)]).tolist()
        return Total(stop, int(count), loss, dict(zip(TERMS, terms)), {
            p.name: flat[a:b].reshape(p.shape) for p, a, b in zip(parameters, ends, ends[1:])})


class Trainer:
    """Trains a model, with a log and checkpoints.

    Args:
        model: with its initial weights.
        config: from `protenix_ms.config.training`.
        examples: where examples come from.
        output: folder of the run: what `Record` writes, and ``checkpoints/``.
        ranks: processes that train together; only the first one evaluates and writes. R of them
            that accumulate A examples make the same updates as one that accumulates R A.
        evaluation: on held-out entries, every ``config.evaluation.interval`` updates and at the
            end; with averaged weights where there are any.

    Attributes:
        passed_over: why `resume` did not take later checkpoints, a sentence each.

    Raises:
        ConfigError: a setting that cannot work.
    """

    def __init__(
        self, model: Protenix, config: ConfigDict, examples: Examples, output: Path,
        ranks: Ranks = Ranks(), evaluation: Evaluation | None = None,  # noqa: B008
    ) -> None:
        require_usable(config)
        learning_rate(0, config)  # refuse an unknown schedule before the first update
        self.model, self.config, self.examples = model.set_train(True), config, examples
        self.output, self.ranks, self.evaluation = output, ranks, evaluation
        self.record = Record(output)
        self.step = self.skipped = 0
        self.passed_over: list[str] = []
        parameters = {p.name: p for p in model.get_parameters() if p.requires_grad}
        self.optimiser = Adam(parameters, config.adam)
        self.average = None
        if config.ema_decay > 0:
            self.average = MovingAverage(parameters, config.ema_decay, words(config.ema_names))
        self.differentiate = TrainingStep(model, config)

    def resume(self) -> bool:
        """Go on from the latest whole checkpoint of `output`; False if there is none.

        Damaged ones are set aside and named in `passed_over`.

        Raises:
            CheckpointError: all are damaged, or of another model.
        """
        folder, first = self.output / "checkpoints", not self.ranks.rank
        last, self.passed_over = latest_snapshot(folder, set_aside=first)
        if first:
            self.record.rewind(0 if last is None else last.step)
        if last is None:
            return False
        load_weights(self.model, last.weights.items(), f"{folder}, step {last.step}")
        self.optimiser.restore(last.moments.items(), last.updates)
        if self.average is not None:
            self.average.restore(last.average)
        self.step, self.skipped = last.step, last.skipped
        return True

    def run(self, report: Report | None = None) -> None:
        """Train up to `max_steps`.

        SIGTERM and Ctrl-C end it after the present update, with a checkpoint; a second Ctrl-C at
        once. A checkpoint that is due waits for an update that was not skipped.

        Args:
            report: called with the line of the log after every update, and with every line of an
                evaluation.

        Raises:
            NonFiniteError: the weights are not finite, or ten updates in a row were skipped.
        """
        c, skipped_in_a_row, owed, stop = self.config, 0, False, False
        examples = self.examples(self.step * c.iters_to_accumulate)
        with stop_requests() as requests:
            while self.step < c.max_steps and not stop:
                start = time.perf_counter()
                total = self._differentiate([next(examples) for _ in range(c.iters_to_accumulate)])
                total.stop = len(requests)
                if self.ranks.count > 1:
                    total = total.over_ranks(self.ranks, self.differentiate.parameters)
                norm = self._apply(total) if total.count else math.nan
                line = {"step": self.step, "loss": total.loss if total.count else None,
                        **total.terms, "gradient_norm": norm if math.isfinite(norm) else None,
                        "skipped": self.skipped, "rate": self.rate(""),
                        "seconds": round(time.perf_counter() - start, 3)}
                self.step += 1
                self._log(LOG, line, report)
                skipped_in_a_row = 0 if math.isfinite(norm) else skipped_in_a_row + 1
                if skipped_in_a_row >= MOST_SKIPPED:
                    raise NonFiniteError(
                        f"{MOST_SKIPPED} updates in a row gave no finite gradients and were "
                        "skipped", where=f"step {self.step}", fix="go on from an earlier "
                        "checkpoint with a lower rate, or check the data")
                # of several processes all stop at the same update, whoever was asked to
                stop = bool(total.stop or (requests and self.ranks.count == 1))
                owed |= self._is_due(c.checkpoint_interval)
                if stop or self.step == c.max_steps or (owed and not skipped_in_a_row):
                    self.save()
                    owed = False
                if self._is_due(c.evaluation.interval) and not stop:
                    self.evaluate(report)

    def _differentiate(self, examples: list[Example]) -> Total:
        """Sum the gradients of examples; those that are not finite are left out and counted."""
        total, everyone = Total(), len(examples) * self.ranks.count
        for part, example in enumerate(examples):
            place = part * self.ranks.count + self.ranks.rank
            draws = SeededDraws(self.config.seed, self.step, place)
            with suppress(NonFiniteError):
                result = self.differentiate(example, self.step, draws)
                if math.isfinite(result.loss):
                    total.add(result, 1 / everyone)
        self.skipped += len(examples) - total.count
        return total

    def _apply(self, total: Total) -> float:
        """Clip and update; gradients that are not finite change nothing. Return their norm."""
        norm = total_norm(total.gradients)
        if math.isfinite(norm):
            self.optimiser.update(total.gradients, self.rate, self.average,
                                  clipping(norm, self.config.grad_clip_norm))
        else:
            self.skipped += total.count
        return norm

    def rate(self, name: str) -> float:
        """Return the learning rate of a parameter at the present step."""
        tuned = name and any(word in name for word in words(self.config.finetune_names))
        return learning_rate(self.step, self.config.finetune if tuned else self.config)

    def _is_due(self, interval: int) -> bool:
        return self.step % max(1, interval) == 0 or self.step == self.config.max_steps

    def evaluate(self, report: Report | None = None) -> None:
        """Judge the present weights, averaged where there is an average, on the held-out entries.

        The training that follows is the same as without.
        """
        if self.evaluation is None or self.ranks.rank:
            return
        with nullcontext() if self.average is None else self.average.applied():
            for line in self.evaluation.run(self.model, self.step):
                self._log(EVALUATION, line, report)
        self.record.draw()

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            NonFiniteError: a weight, an average or a moment is not finite; nothing is written.
        """
        if self.ranks.rank:
            return
        weights = arrays_of((p.name, p) for p in self.model.get_parameters())
        average = {}
        if self.average is not None:  # with the constants, so that `predict` takes the file
            average = weights | arrays_of(self.average.average.items())
        snapshot = Snapshot(self.step, self.skipped, weights, average,
                            dict(self.optimiser.state()), self.optimiser.updates)
        write_snapshot(self.output / "checkpoints", snapshot, self.model.config.model_name,
                       self.config.keep_checkpoints)
        self.record.draw()

    def _log(self, file: str, line: dict, report: Report | None) -> None:
        if not self.ranks.rank:
            self.record.add(file, line)
            if report is not None:
                report(line)


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect SIGTERM and Ctrl-C instead of ending; a second Ctrl-C ends at once.

    Handlers can be set in the main thread only; in another one nothing is collected.
    """
    requests: list[int] = []

    def collect(number: int, _: object) -> None:
        if number == signal.SIGINT and requests:
            raise KeyboardInterrupt
        requests.append(number)

    main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGINT) if main else ()
    before = {number: signal.signal(number, collect) for number in numbers}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
