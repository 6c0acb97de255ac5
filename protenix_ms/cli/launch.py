# SPDX-License-Identifier: Apache-2.0
"""Settings of the process that MindSpore wants; only the command line makes them.

Five settings matter: huge pages for malloc, which glibc reads when a process starts (hence one
re-exec); kernels launched in the calling thread, since MindSpore's waiting threads spin; quiet
logs; fewer matrix products that oneDNN remembers; one thread for numpy's. On Ascend a sixth: where
our op is, if it is built.
"""

from __future__ import annotations

import atexit
import os
import resource
import signal
import sys

from protenix_ms.config.home import ascend_settings
from protenix_ms.errors import ResourceError, explain, is_out_of_memory

_TUNABLE = "glibc.malloc.hugetlb=1"
_DONE = "PROTENIX_MS_LAUNCHED"
# oneDNN keeps code for 1024 shapes of matrix products, 150 to 300 kB each: over jobs of many sizes
# a process would grow by as much. One job has some dozens.
# numpy's products are small: threads make guidance's solutions seven times slower, and their bytes
# depend on the number of cores.
_PRODUCTS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128", "OPENBLAS_NUM_THREADS": "1"}
_RANKS = ("MS_ROLE", "RANK_ID", "MS_NODE_ID")


def settings(environment: dict[str, str]) -> dict[str, str]:
    """Add our settings to `environment`; what a person has set stays."""
    new = dict(environment)
    new.setdefault("GLOG_v", _log_level())
    new = _PRODUCTS | new
    if _DONE not in new:
        tunables = new.get("GLIBC_TUNABLES", "")
        if "malloc.hugetlb" not in tunables:
            new["GLIBC_TUNABLES"] = f"{tunables}:{_TUNABLE}".lstrip(":")
        new[_DONE] = "1"
    return new


def _log_level() -> str:
    """Errors on Ascend; nothing on CPU, where each of MindSpore's errors is an exception too."""
    return "3" if any(word.endswith("Ascend") for word in sys.orig_argv) else "4"


def end_at_once(code: int) -> None:
    """Leave MindSpore no end of its own where addresses are limited (`ulimit -v`).

    It takes memory to end, and without any aborts the process (code 134) with a traceback.
    """
    limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    if limited and "mindspore" in sys.modules:
        atexit.register(os._exit, code)  # registered last, so called first


def relaunch() -> None:
    """Start this process anew, once, under `settings`.

    A rank of `msrun` is left alone: its launcher knows its process id. There, and elsewhere than
    on Linux, only the log level and the place of our op for Ascend are set.
    """
    os.environ.setdefault("GLOG_v", _log_level())
    os.environ.update(ascend_settings(os.environ))
    rank = any(name in os.environ for name in _RANKS)
    if _DONE in os.environ or rank or sys.platform != "linux" or not sys.orig_argv[1:]:
        return
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], settings(dict(os.environ)))


def same_bits() -> None:
    """Choose kernels that give the same bits at every run (Ascend; on CPU all do)."""
    import mindspore

    mindspore.set_deterministic(True)


def configure(device: str) -> None:
    """Put MindSpore on `device` ("CPU" or "Ascend"), kernels in the calling thread on CPU.

    An interrupt stays Python's KeyboardInterrupt.

    Raises:
        ResourceError: MindSpore cannot be loaded, or its first operation fails.
    """
    for name, value in _PRODUCTS.items():  # read when the first product is made
        os.environ.setdefault(name, value)
    try:
        import mindspore

        mindspore.set_device(device)
        if device == "CPU":
            mindspore.runtime.launch_blocking()
        if int(os.environ.get("MS_WORKER_NUM", "1")) > 1:
            # Before the first operation: the processes of `msrun` agree here who has which device.
            mindspore.communication.init()
        mindspore.ops.ones((1,)).asnumpy()  # the first operation installs MindSpore's own handler,
        # which ends the process on the spot; Python's lets us keep finished results
    except (RuntimeError, MemoryError, OSError, ImportError) as error:
        reason = "its memory ran out" if is_out_of_memory(error) else explain(error).rstrip(".")
        raise ResourceError(f"MindSpore does not start on {device}: {reason}",
                            fix="it takes about 3 GB of addresses (`ulimit -v`); "
                            "`protenix-ms doctor` checks the installation") from error
    signal.signal(signal.SIGINT, signal.default_int_handler)


def stop_softly() -> None:
    """Take what schedulers, `docker stop` and closed terminals send as an interrupt (Ctrl-C).

    A signal that is ignored already, as `nohup` does, stays ignored.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
