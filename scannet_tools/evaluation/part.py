"""Which scenes are this process's, and starting several processes.

Processes share nothing but the output folder. Each is told its number the way `accelerate launch` (and torchrun) tell
it: RANK of WORLD_SIZE in all, LOCAL_RANK on this machine. Whoever finds the last row written makes the report.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """Process `rank` of `count`, number `local_rank` on its machine."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Part:
        """From RANK, WORLD_SIZE and LOCAL_RANK; the only process where they are not set. Raises ValueError for
        nonsense.
        """
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        given = {name: environment.get(name, "") for name in names}
        if not given["RANK"] or not given["WORLD_SIZE"]:
            return cls()
        try:
            rank, count, local = int(given["RANK"]), int(given["WORLD_SIZE"]), int(given["LOCAL_RANK"] or given["RANK"])
        except ValueError:
            rank, count, local = -1, 0, 0
        if not 0 <= rank < count:
            said = " ".join(f"{name}={value}" for name, value in given.items())
            raise ValueError(
                f"the environment says {said}: RANK must be a number below WORLD_SIZE; unset them, or use accelerate "
                "launch"
            )
        return cls(rank, count, local)

    def of(self, all_of_them: Sequence[T]) -> list[T]:
        """This process's share. The shares of all processes are disjoint and together everything."""
        return list(all_of_them[self.rank :: self.count])


def run_in_processes(count: int, work: Callable[..., int], *arguments: Any) -> int:
    """Call `work(*arguments)` in `count` processes, each with its RANK, and return the highest exit status.

    work: a function of a module. When this process is interrupted, the others are ended too.
    """
    context = multiprocessing.get_context("spawn")  # a forked child cannot use CUDA
    processes = [context.Process(target=_begin, args=(rank, count, work, arguments)) for rank in range(count)]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
                process.join()
    return max(abs(process.exitcode) for process in processes)


def _begin(rank: int, count: int, work: Callable[..., int], arguments: Sequence[Any]) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(count), LOCAL_RANK=str(rank))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))  # before torch reads it
    try:
        status = work(*arguments)
    except (OSError, ValueError, ImportError) as error:  # each names its file and says what to do
        print(f"process {rank} of {count}: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130
    raise SystemExit(status)
