# SPDX-License-Identifier: Apache-2.0
"""Build `protenix_ms/chem/ccd.npz` from the chemical component dictionary in the biotite wheel.

    python scripts/build_ccd.py embed --work DIR [--workers 2] [--limit N]   # an hour, resumable
    python scripts/build_ccd.py pack  --work DIR [--out FILE]                # a minute

Needs the `tools` extra. `embed` makes one reference conformer per component on the molecule with
hydrogens, as upstream's `gen_ccd_cache` does, but with a fixed seed: ETKDGv3, ETKDGv3 from random
coordinates, then the dictionary's ideal, then its model coordinates. Each finished block of
components is a file in DIR; a second call continues. A worker that does not answer within the
hard limit is killed, its component falls back to dictionary coordinates.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
from component_source import ComponentSource, ReferenceAtoms, embed_component, read_dictionary
from pack_ccd import pack

HARD_LIMIT = 30.0  # embedding plus sanitisation and stereo perception
BLOCK = 500
ROOT = Path(__file__).resolve().parents[1]


def _serve(source: ComponentSource, pipe) -> None:
    """Embed the components whose numbers come through the pipe, in a worker process."""
    while (number := pipe.recv()) is not None:
        try:
            pipe.send(embed_component(source[number]))
        except (RuntimeError, ValueError) as error:
            pipe.send(repr(error))


class Slot:
    """Hold one worker process and the component that it embeds."""

    def __init__(self, source: ComponentSource) -> None:
        self.source = source
        self.start()

    def start(self) -> None:
        """Start the worker."""
        context = multiprocessing.get_context("fork")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(self.source, other), daemon=True)
        self.process.start()
        other.close()
        self.number: int | None = None

    def start_on(self, number: int) -> None:
        """Send a component to the worker."""
        self.number, self.deadline = number, time.monotonic() + HARD_LIMIT
        self.pipe.send(number)

    def kill(self) -> None:
        """Replace the worker by a new one."""
        self.process.kill()
        self.process.join()
        self.start()


def run_block(slots: list[Slot], numbers: list[int]) -> dict[int, ReferenceAtoms]:
    """Embed a block of components, shared between the workers."""
    todo, done = list(reversed(numbers)), {}
    while len(done) < len(numbers):
        for slot in slots:
            if slot.number is None and todo:
                slot.start_on(todo.pop())
        busy = [slot for slot in slots if slot.number is not None]
        ready = wait([slot.pipe for slot in busy], timeout=0.5)
        for slot in busy:
            number, answer = slot.number, None
            if slot.pipe in ready:
                try:
                    answer = slot.pipe.recv()
                except EOFError:
                    answer = "worker died"
            elif time.monotonic() > slot.deadline:
                answer = "hard limit"
            if answer is None:
                continue
            slot.number = None
            if answer in ("worker died", "hard limit"):
                slot.kill()
            if isinstance(answer, str):
                print(f"  {slot.source.codes[number]}: {answer}", flush=True)
                answer = read_dictionary(slot.source[number])
            done[number] = answer
    return done


def save_block(path: Path, numbers: list[int], outcomes: dict[int, ReferenceAtoms]) -> None:
    """Write one block as flat columns, whole or not at all."""
    rows = [outcomes[n] for n in numbers]
    temporary = path.with_name(path.stem + ".tmp.npz")
    np.savez(
        temporary,
        number=np.array(numbers),
        count=np.array([len(r.mask) for r in rows]),
        position=np.concatenate([r.position.reshape(-1, 3) for r in rows]).astype(np.float32),
        mask=np.concatenate([r.mask for r in rows]).astype(bool),
        charge=np.concatenate([r.charge for r in rows]).astype(np.int8),
        source=np.array([r.source for r in rows], np.uint8),
        sanitized=np.array([r.sanitized for r in rows], bool),
    )
    temporary.rename(path)


def run_embed(arguments: argparse.Namespace) -> None:
    """Embed all blocks that are not in the work directory yet."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    source = ComponentSource.open()
    chosen = list(range(len(source)))
    if arguments.limit:
        chosen = np.random.default_rng(0).permutation(len(source))[: arguments.limit].tolist()
    blocks = [chosen[i : i + BLOCK] for i in range(0, len(chosen), BLOCK)]
    slots = [Slot(source) for _ in range(arguments.workers)]
    start, embedded = time.monotonic(), 0
    for index, numbers in enumerate(blocks):
        path = arguments.work / f"block_{index:04d}.npz"
        if path.exists():
            continue
        outcomes = run_block(slots, numbers)
        save_block(path, numbers, outcomes)
        embedded += len(numbers)
        speed = embedded / (time.monotonic() - start)
        left = sum(len(b) for b in blocks[index + 1 :]) / speed / 60
        counts = np.bincount([o.source for o in outcomes.values()], minlength=5).tolist()
        print(f"block {index + 1}/{len(blocks)} sources {counts} {speed:.1f}/s "
              f"{left:.0f} min left", flush=True)
    for slot in slots:
        slot.pipe.send(None)
        slot.process.join(5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["embed", "pack"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=int, default=0, help="random components, for a trial")
    parser.add_argument("--out", type=Path, default=ROOT / "protenix_ms" / "chem" / "ccd.npz")
    parser.add_argument("--partial", action="store_true", help="pack an unfinished build")
    arguments = parser.parse_args()
    if arguments.command == "embed":
        run_embed(arguments)
    else:
        pack(ComponentSource.open(), arguments.work, arguments.out, arguments.partial)


if __name__ == "__main__":
    main()
