# SPDX-License-Identifier: Apache-2.0
"""Process settings that MindSpore wants on CPU; called by the command line only.

Four settings matter: huge pages for malloc, which glibc reads when a process starts (hence one
re-exec); kernels launched in the calling thread, since MindSpore's waiting threads spin; quiet
logs; fewer matrix products that oneDNN remembers. On Ascend a fifth: where our op is, if it is
built.
"""

from __future__ import annotations

import os
import signal
import sys

from protenix_ms.config.home import ascend_settings

_TUNABLE = "glibc.malloc.hugetlb=1"
_DONE = "PROTENIX_MS_LAUNCHED"
# oneDNN keeps code for 1024 shapes of matrix products, 150 to 300 kB each: over jobs of many sizes
# a process would grow by as much. One job has some dozens.
_PRODUCTS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}
_RANKS = ("MS_ROLE", "RANK_ID", "MS_NODE_ID")


def settings(environment: dict[str, str]) -> dict[str, str]:
    """`environment` with our settings added; what a person has set stays."""
    new = dict(environment)
    new.setdefault("GLOG_v", "3")  # errors only
    new = _PRODUCTS | new
    if _DONE not in new:
        tunables = new.get("GLIBC_TUNABLES", "")
        if "malloc.hugetlb" not in tunables:
            new["GLIBC_TUNABLES"] = f"{tunables}:{_TUNABLE}".lstrip(":")
        new[_DONE] = "1"
    return new


def relaunch() -> None:
    """Start this process anew, once, under `settings`.

    A rank of `msrun` is left alone: its launcher knows its process id. There, and elsewhere than
    on Linux, only the log level and the place of our op for Ascend are set.
    """
    os.environ.setdefault("GLOG_v", "3")
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
    """
    for name, value in _PRODUCTS.items():  # read when the first product is made
        os.environ.setdefault(name, value)
    import mindspore

    mindspore.set_device(device)
    if device == "CPU":
        mindspore.runtime.launch_blocking()
    mindspore.ops.ones((1,)).asnumpy()  # the first operation installs MindSpore's own handler,
    # which ends the process on the spot; Python's lets us keep finished results
    signal.signal(signal.SIGINT, signal.default_int_handler)


def stop_softly() -> None:
    """Take what schedulers, `docker stop` and closed terminals send as an interrupt (Ctrl-C).

    A signal that is ignored already, as `nohup` does, stays ignored.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
