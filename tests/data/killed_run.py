# SPDX-License-Identifier: Apache-2.0
"""A training run that kills itself (SIGKILL) at a named point: `killed_run.py POINT OUTPUT`."""

import importlib.util
import os
import shutil
import signal
import sys
from pathlib import Path

POINTS = ("mid-step", "mid-write", "before the rename", "after the rename", "mid-rotation",
          "mid-line")
SETTINGS = {"max_steps": 4, "checkpoint_interval": 1, "keep_checkpoints": 1}


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def prepare_or_die(path, preparation):
    """Stand in for `data.preparation.prepare_file`: a file called bad kills its process."""
    from protenix_ms.data.preparation import Outcome

    if "bad" in path.name:
        die()
    return Outcome(path.stem, "made")


def plant(point):
    """Replace what happens at the point, the second time it is reached."""
    from protenix_ms.train import checkpoint
    from protenix_ms.train.loop import Trainer
    from protenix_ms.train.record import Record

    write, rename, add = checkpoint._write, Path.rename, Record.add
    seen = []

    def second(name):
        seen.append(name)
        return seen.count(name) == 2

    def half_of_the_file(path, content):
        if path.name == checkpoint.OPTIMISER and second("write"):
            write(path, content[: len(content) // 2])
            die()
        write(path, content)

    def around_the_rename(path, target):
        new = path.name.startswith(".partial-")
        if new and point.startswith("before") and second("rename"):
            die()
        done = rename(path, target)
        if new and point.startswith("after") and second("rename"):
            die()
        return done

    def one_file_removed(path):
        next(path.glob("*.safetensors")).unlink()
        die()

    def before_the_update(trainer, total):
        name = next(iter(total.gradients))
        if second("step"):
            trainer.optimiser.update({name: total.gradients[name]}, trainer.rate)
            die()
        return apply(trainer, total)

    def half_a_line(self, file, line):
        if second("line"):
            with (self.folder / file).open("a") as stream:
                stream.write('{"step": 1, "loss"')
            die()
        add(self, file, line)

    apply = Trainer._apply
    if point == "mid-step":
        Trainer._apply = before_the_update
    elif point == "mid-write":
        checkpoint._write = half_of_the_file
    elif point == "mid-rotation":
        shutil.rmtree = one_file_removed
    elif point == "mid-line":
        Record.add = half_a_line
    else:
        Path.rename = around_the_rename


def run(point, output):
    """Train until the point is reached."""
    import mindspore

    from protenix_ms.train.loop import Trainer

    mindspore.runtime.launch_blocking()
    file = Path(__file__).resolve().parents[1] / "unit" / "train" / "conftest.py"
    spec = importlib.util.spec_from_file_location("small", file)
    small = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(small)
    training = small.tiny_config().training
    training.update(SETTINGS)
    plant(point)
    Trainer(small.new_model(), training, small.examples, Path(output)).run()


if __name__ == "__main__":
    run(*sys.argv[1:])
