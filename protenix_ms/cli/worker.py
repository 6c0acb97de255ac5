# SPDX-License-Identifier: Apache-2.0
"""The program of an engine's worker: `python -m protenix_ms.cli.worker DESCRIPTOR CORES DEVICE`.

No person starts it; `predict.engines.process` does.
"""

from __future__ import annotations

import os
import sys

from protenix_ms.cli import launch


def main() -> None:
    """Take the cores and MindSpore's settings, then serve the driver at the other end.

    The objects that come over the connection are those of the driver, which started this process
    and holds the only other end.
    """
    descriptor, cores, device = sys.argv[1:]
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    launch.relaunch()
    from multiprocessing.connection import Connection

    connection = Connection(int(descriptor))
    launch.configure(device)
    launch.stop_softly()
    try:
        start = connection.recv()
        sys.argv = list(start.command)
        from protenix_ms.predict.engines.worker import serve
        from protenix_ms.runtime.policy import using

        with using(start.policy):
            serve(connection, start)
    except (KeyboardInterrupt, EOFError):
        pass  # the driver has stopped, or is gone
    finally:
        if sys.exc_info()[0] is None:
            sys.stderr.flush()
            os._exit(0)  # MindSpore's own end takes seconds, and a thread may still make features


if __name__ == "__main__":
    main()
