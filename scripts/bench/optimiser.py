# SPDX-License-Identifier: Apache-2.0
"""One update of Adam and the moving average: our kernel beside the plain form.

    python scripts/bench/optimiser.py --model protenix_tiny_default_v0.5.0

Both change the same parameters in turns; CPU seconds of the process count, which a busy machine
does not stretch.
"""

from __future__ import annotations

import argparse
import statistics
import time

from sides import memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="protenix_tiny_default_v0.5.0")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()

    import mindspore
    import numpy as np
    from mindspore import Parameter, Tensor

    from protenix_ms.config.parameters import released_shapes
    from protenix_ms.config.training import training_config
    from protenix_ms.runtime.policy import Policy, using
    from protenix_ms.train.optimiser import Adam, MovingAverage

    mindspore.runtime.launch_blocking()
    shapes = released_shapes(args.model)
    model, gradients = ({n: Tensor.from_numpy(np.full(s, x, np.float32)) for n, s in shapes.items()}
                        for x in (0.1, 0.01))
    model = {n: Parameter(w, name=n) for n, w in model.items()}
    config = training_config()
    optimiser, average = Adam(model, config.adam), MovingAverage(model, config.ema_decay)
    cpu, wall = {}, {}
    for _ in range(args.repeats + 1):  # the first of each warms up
        for kernels in (True, False):
            times = time.process_time(), time.perf_counter()
            with using(Policy(kernels=kernels)):
                optimiser.update(gradients, lambda name: 1e-3, average)
            cpu.setdefault(kernels, []).append(time.process_time() - times[0])
            wall.setdefault(kernels, []).append(time.perf_counter() - times[1])
    count = sum(p.size for p in model.values())
    print(f"{len(model)} tensors, {count / 1e6:.1f} million numbers; peak {memory('VmHWM'):.1f} GB")
    for kernels, name in ((True, "one kernel"), (False, "operators")):
        print(f"{name:12s} {statistics.median(cpu[kernels][1:]):7.3f} s CPU, "
              f"{statistics.median(wall[kernels][1:]):7.3f} s wall")


if __name__ == "__main__":
    main()
