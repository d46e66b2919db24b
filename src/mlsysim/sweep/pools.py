"""Where tasks are done: here, in threads, in processes, on Dask, or by any executor of ``concurrent.futures``.

Outcomes come in the order of the tasks, whoever does them, so that the result is the same to the bit.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from mlsysim.errors import InvalidValue, MissingExtra, MlsysimError

T = TypeVar("T")
R = TypeVar("R")
AHEAD = 4
"""Tasks a worker that are handed out before the first is done."""
TRIES = 3
"""Times that workers which died are replaced before that is told."""


class WorkersLost(MlsysimError):
    """Workers died again and again, or belong to an executor that cannot be made anew."""

    code = "workers-lost"


Pool = Callable[[], Executor]
"""What makes an executor, and makes it anew when its workers died."""


def ordered(
    function: Callable[[T], R], tasks: Iterable[T], executor: Executor | None, workers: int, anew: Pool | None = None
) -> Iterator[R]:
    """Yield the outcomes of tasks in their order; with no executor they are done here, one after another.

    ``anew`` makes another executor where the workers of this one died; what they had not finished is done again.

    Raises
    ------
    WorkersLost
        Workers died more often than is bad luck.
    """
    if executor is None:
        yield from map(function, tasks)
        return
    left = iter(tasks)
    again: deque[T] = deque()
    waiting: deque[tuple[T, Future[R]]] = deque()
    tries = TRIES if anew else 0
    try:
        while True:
            try:
                while len(waiting) < AHEAD * workers and (again or _next(left, again)):
                    waiting.append((again[0], executor.submit(function, again[0])))
                    again.popleft()
                if not waiting:
                    return
                outcome = waiting[0][1].result()
            except BrokenExecutor:
                if not tries or anew is None:
                    hint = "less work at once (workers) may fit into memory"
                    raise WorkersLost(f"workers died and their tasks with them; {hint}") from None
                tries -= 1
                executor = anew()
                again = deque((*(task for task, _ in waiting), *again))
                waiting.clear()
                continue
            waiting.popleft()
            yield outcome
    finally:
        for _, future in waiting:
            future.cancel()


def _next(left: Iterator[T], to: deque[T]) -> bool:
    """Take one task more, and return whether there was one."""
    to.extend(islice(left, 1))
    return bool(to)


@contextmanager
def opened(
    executor: Executor | None, workers: int | None, dask: str | None
) -> Iterator[tuple[Executor | None, int, Pool | None]]:
    """Open what does the tasks, and close it unless it was given: the executor, its workers, and how to make it anew.

    ``workers`` is a number of processes, 1 for none; by default threads do the work, one a processor.

    Raises
    ------
    UsageError
        More than one of the three is given; fewer than one worker; no Dask, or no scheduler at that address.
    """
    asked = {"executor": executor, "workers": workers, "dask": dask}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1:
        raise InvalidValue(given[1], f"left out where {given[0]} is given", asked[given[1]])
    if executor is not None:
        if not hasattr(executor, "submit"):
            raise InvalidValue("executor", "an executor of concurrent.futures", executor)
        yield executor, getattr(executor, "_max_workers", None) or _processors(), None
    elif dask is not None:
        with _dask(dask) as found:
            yield (*found, None)
    elif workers is not None:
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise InvalidValue("workers", "a whole number of at least 1", workers)
        with _processes(workers) as pool:
            yield pool
    else:
        threads = _processors()
        with ThreadPoolExecutor(threads) as pool_of_threads:
            yield (pool_of_threads if threads > 1 else None), threads, None


@contextmanager
def _processes(workers: int) -> Iterator[tuple[Executor | None, int, Pool | None]]:
    if workers == 1:
        yield None, 1, None
        return
    import threading
    from multiprocessing import get_context

    # A fork needs no guard in the caller's script and no imports, but must not copy the locks of running threads.
    way = "fork" if sys.platform == "linux" and threading.active_count() == 1 else "spawn"
    made: list[ProcessPoolExecutor] = []

    def make() -> Executor:
        made.append(ProcessPoolExecutor(workers, mp_context=get_context(way)))
        return made[-1]

    try:
        yield make(), workers, make
    finally:
        for pool in made:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _dask(address: str) -> Iterator[tuple[Executor, int]]:
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtra("distributed", "dask", "a sweep on Dask") from None
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError, TimeoutError) as error:
        rule = "the address of a scheduler such as tcp://10.0.0.1:8786"
        raise InvalidValue("dask", rule, address, str(error)) from None
    try:
        yield client.get_executor(retries=TRIES, pure=False), max(1, sum(client.nthreads().values()))
    finally:
        client.close()


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
