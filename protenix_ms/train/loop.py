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
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from mindspore import Tensor, float32, ops
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
from protenix_ms.train.optimiser import Adam, MovingAverage, clip, words
from protenix_ms.train.record import EVALUATION, LOG, Record
from protenix_ms.train.schedule import learning_rate
from protenix_ms.train.step import Example, StepResult, TrainingStep

Examples = Callable[[int], Iterator[Example]]
"""Examples from a position on, without end; the same ones at every call."""

Report = Callable[[dict], None]

TERMS = (*DIFFUSION, "distogram", *CONFIDENCE)
MOST_SKIPPED = 10  # updates in a row without finite gradients


@dataclass
class _Sum:
    """Losses, terms and gradients of the examples of one update."""

    count: int = 0
    loss: float = 0.0
    terms: dict[str, float] = field(default_factory=dict)
    gradients: dict[str, Tensor] = field(default_factory=dict)

    def add(self, result: StepResult, share: float) -> None:
        self.count += 1
        self.loss += result.loss * share
        for name, value in result.terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + value * share
        for name, gradient in result.gradients.items():
            part = gradient * share if share != 1 else gradient
            self.gradients[name] = self.gradients[name] + part if name in self.gradients else part


class Trainer:
    """A run.

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
        learning_rate(0, config)  # an unknown schedule is told before the first update
        self.model, self.config, self.examples = model.set_train(True), config, examples
        self.output, self.ranks, self.evaluation = output, ranks, evaluation
        self.record = Record(output)
        self.step = self.skipped = self._skipped_in_a_row = 0
        self.passed_over: list[str] = []
        parameters = {p.name: p for p in model.get_parameters() if p.requires_grad}
        self.optimiser = Adam(parameters, config.adam)
        self.average = None
        if config.ema_decay > 0:
            names = words(config.ema_names)
            self.average = MovingAverage(parameters, config.ema_decay, names)
        self.differentiate = TrainingStep(model, config)
        self._asked_to_stop = self._stop = False

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
        if self.average is not None and last.average:
            trained = set(self.average.average)
            self.average.restore((k, v) for k, v in last.average.items() if k in trained)
        self.step, self.skipped = last.step, last.skipped
        return True

    def run(self, report: Report | None = None) -> None:
        """Train up to `max_steps`.

        SIGTERM and Ctrl-C end it after the present step, with a checkpoint; a second Ctrl-C at
        once. A checkpoint that is due waits for an update that was not skipped.

        Args:
            report: told the line of the log after every update, and every line of an evaluation.

        Raises:
            NonFiniteError: the weights are not finite, or ten updates in a row were skipped.
        """
        per_update, owed = self.config.iters_to_accumulate, False
        source = self.examples(self.step * per_update)
        with self._stopping_at_signals():
            while self.step < self.config.max_steps and not self._stop:
                line = self._update([next(source) for _ in range(per_update)])
                self._log(LOG, line, report)
                self._require_progress()
                self._stop |= self._asked_to_stop and self.ranks.count == 1
                owed |= self._due(self.config.checkpoint_interval)
                last = self._stop or self.step == self.config.max_steps
                if last or (owed and not self._skipped_in_a_row):
                    self.save()
                    owed = False
                if self._due(self.config.evaluation.interval) and not self._stop:
                    self.evaluate(report)

    def _require_progress(self) -> None:
        if self._skipped_in_a_row >= MOST_SKIPPED:
            raise NonFiniteError(
                f"{MOST_SKIPPED} updates in a row gave no finite gradients and were skipped",
                where=f"step {self.step}",
                fix="go on from an earlier checkpoint with a lower rate, or check the data",
            )

    def _due(self, interval: int) -> bool:
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

    def _update(self, examples: list[Example]) -> dict:
        """One update from some examples; those that are not finite are left out and counted."""
        start, total = time.perf_counter(), _Sum()
        everyone = len(examples) * self.ranks.count
        for part, example in enumerate(examples):
            place = part * self.ranks.count + self.ranks.rank
            draws = SeededDraws(self.config.seed, self.step, place)
            try:
                result = self.differentiate(example, self.step, draws)
            except NonFiniteError:
                result = None
            if result is None or not math.isfinite(result.loss):
                self.skipped += 1
                continue
            total.add(result, 1 / everyone)
        total = self._together(total)
        norm = self._apply(total) if total.count else math.nan
        self._skipped_in_a_row = 0 if math.isfinite(norm) else self._skipped_in_a_row + 1
        line = {"step": self.step, "loss": total.loss if total.count else None, **total.terms,
                "gradient_norm": norm if math.isfinite(norm) else None, "skipped": self.skipped,
                "rate": self.rate(""), "seconds": round(time.perf_counter() - start, 3)}
        self.step += 1
        return line

    def _together(self, total: _Sum) -> _Sum:
        """The sum over all processes; one that left out all its examples adds nothing."""
        if self.ranks.count == 1:
            return total
        parameters = self.differentiate.parameters
        numbers = [float(self._asked_to_stop), total.count, total.loss,
                   *(total.terms.get(name, 0.0) for name in TERMS)]
        parts = [Tensor(numbers, float32)]
        for p in parameters:
            gradient = total.gradients.get(p.name)
            parts.append(ops.zeros(p.size, float32) if gradient is None
                         else ops.reshape(gradient, (-1,)))
        flat = self.ranks.total(ops.concat(parts, 0))
        stop, count, loss, *terms = flat[: len(numbers)].asnumpy().tolist()
        self._stop = stop > 0  # all stop at the same update, whoever was asked to
        joined, at = _Sum(int(count), loss, dict(zip(TERMS, terms))), len(numbers)
        for p in parameters:
            joined.gradients[p.name] = ops.reshape(flat[at : at + p.size], p.shape)
            at += p.size
        return joined

    def _apply(self, total: _Sum) -> float:
        """Clip and update; gradients that are not finite change nothing. Returns their norm."""
        gradients, norm = clip(total.gradients, self.config.grad_clip_norm)
        if not math.isfinite(norm):
            self.skipped += total.count
            return norm
        self.optimiser.update(gradients, self.rate, self.average)
        return norm

    def rate(self, name: str) -> float:
        """Learning rate of a parameter at the present step."""
        chosen = words(self.config.finetune_names)
        if name and any(word in name for word in chosen):
            return learning_rate(self.step, self.config.finetune)
        return learning_rate(self.step, self.config)

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
        if self.ranks.rank:
            return
        self.record.add(file, line)
        if report is not None:
            report(line)

    @contextmanager
    def _stopping_at_signals(self) -> Iterator[None]:
        """Handlers can be set in the main thread only; elsewhere nothing stops a run."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, _: object) -> None:
            if number == signal.SIGINT and self._asked_to_stop:
                raise KeyboardInterrupt
            self._asked_to_stop = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
