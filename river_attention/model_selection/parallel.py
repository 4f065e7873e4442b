"""Blocks of rows for chunks of candidates, wherever joblib runs them.

A task is a pure function: candidates and a block in, the same candidates some rows later out. They
travel as bytes, so what comes back may come from a thread, a process or another machine, and a task
that was lost is simply asked for again.
"""

from __future__ import annotations

import random
import warnings
from typing import Any

import joblib
from joblib.parallel import get_active_backend

from .progressive import Candidate, lets_threads_run
from .stream import Block

try:
    import cloudpickle
except ImportError:  # joblib before 1.6 brings its own
    from joblib.externals import cloudpickle

TASKS_PER_WORKER = 2
"""More than one, so that who is done early finds something to do."""

TRIES = 3
"""How often lost tasks are sent out before they are run in this process."""


def deal(candidates: list[Candidate], n: int) -> list[list[Candidate]]:
    """Candidates in at most n chunks that cost about the same.

    The dearest first, each to the chunk that costs least so far. Before any costs are known they
    are shuffled, always in the same way, since neighbours in a grid cost alike.
    """
    order = list(candidates)
    random.Random(0).shuffle(order)
    order.sort(key=lambda candidate: -candidate.cost)
    chunks: list[list[Candidate]] = [[] for _ in range(min(n, len(order)))]
    costs = [0.0] * len(chunks)
    for candidate in order:
        to = min(range(len(chunks)), key=lambda i: (costs[i], len(chunks[i])))
        chunks[to].append(candidate)
        costs[to] += candidate.cost
    return chunks


class Workers:
    """Those who let candidates take blocks.

    Parameters
    ----------
    n_jobs
        As joblib has it: None is 1 unless ``joblib.parallel_config`` says otherwise, -1 all cores.
    """

    def __init__(self, n_jobs: int | None) -> None:
        self.n_jobs = n_jobs

    def take(self, candidates: list[Candidate], block: Block) -> list[Candidate]:
        """The candidates after the block, in their order; where they were not sent, the same."""
        prefer = "threads" if all(map(_lets_threads_run, candidates)) else None
        backend, configured = get_active_backend(prefer=prefer)
        n_workers = backend.effective_n_jobs(configured if self.n_jobs is None else self.n_jobs)
        if n_workers == 1 or len(candidates) == 1:
            return _take(candidates, block)
        chunks = deal(candidates, n_workers * TASKS_PER_WORKER)
        parallel = joblib.Parallel(self.n_jobs, batch_size=1, pre_dispatch="all", prefer=prefer)
        if getattr(backend, "supports_sharedmem", False):
            block.prepare()
            done = parallel(joblib.delayed(_take)(chunk, block) for chunk in chunks)
        else:
            done = self._take_elsewhere(parallel, chunks, block)
        return sorted((c for chunk in done for c in chunk), key=lambda c: c.index)

    def _take_elsewhere(
        self, parallel: Any, chunks: list[list[Candidate]], block: Block
    ) -> list[list[Candidate]]:
        tasks = [cloudpickle.dumps((chunk, block)) for chunk in chunks]
        for _ in range(TRIES):
            try:
                done = parallel(joblib.delayed(_take_packed)(task) for task in tasks)
                return [cloudpickle.loads(packed) for packed in done]
            except Exception as error:  # whatever a backend raises when a worker dies
                lost = error
        warnings.warn(
            f"{TRIES} times workers were lost, the last time with {type(lost).__name__}: {lost}; "
            f"rows from {block.start} on are taken in this process",
            RuntimeWarning,
            stacklevel=2,
        )
        return [_take(chunk, block) for chunk in chunks]


def _lets_threads_run(candidate: Candidate) -> bool:
    return lets_threads_run(candidate.model, candidate.score.metric)


def _take(candidates: list[Candidate], block: Block) -> list[Candidate]:
    for candidate in candidates:
        candidate.take(block)
    return candidates


def _take_packed(task: bytes) -> bytes:
    packed: bytes = cloudpickle.dumps(_take(*cloudpickle.loads(task)))
    return packed
