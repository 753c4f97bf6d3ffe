"""Sweeps over a Ray cluster. Needs the package ray: ``pip install 'skimp[ray]'``.

Points go to tasks in blocks; rows come back, and the driver alone writes them. Networks and data sets in files must lie under
the same paths on every node.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import time
from typing import Any

from skimp import _native
from skimp._sweep import SweepSource, Sweep
from skimp.errors import SkimpError, SweepError, UsageError
from skimp.records import SweepSummary

BLOCK_SECONDS = 0.5
"""What a block takes, about: a hundred times what Ray adds to a task."""

TASK_SECONDS = 0.0025
"""What the driver spends on a task, about: blocks grow with the cluster, so that it keeps up."""

FIRST_BLOCK = 8
"""Points of the first blocks, which show how long a point takes."""

MOST_IN_BLOCK = 4096
"""Points of a block at most."""

Caches = tuple[str | None, str | None]
"""Memory and folder for what points share."""

_sweeps: dict[tuple[str, Caches], _native.Sweep] = {}


def work(text: str, version: str, caches: Caches, points: list[list[Any]], cpus: int) -> tuple[list[_native.Row], float]:
    """Rows of a block and its seconds, in a worker. What its points share with those of earlier blocks is kept in the process."""
    if version != _native.VERSION:
        raise SweepError(f"a worker has skimp {_native.VERSION}, the driver {version}: install the same on every node")
    if (text, caches) not in _sweeps:
        try:
            _native.set_threads(cpus)
        except SkimpError:
            pass  # An earlier sweep of this process has set them.
        _sweeps.clear()
        _sweeps[text, caches] = _native.Sweep("sweep", text, [], {"cache": caches[0], "cache_dir": caches[1]})
    start = time.perf_counter()
    rows = _sweeps[text, caches].evaluate(points)
    return rows, time.perf_counter() - start


def sweep(
    sweep: SweepSource,
    *,
    output: str | os.PathLike[str] = "skimp-sweep",
    network: str | os.PathLike[str] | None = None,
    data: str | None = None,
    images: int | None = None,
    accuracy_images: int | None = None,
    resume: bool = False,
    cache: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    address: str | None = None,
    num_cpus: int = 1,
    max_retries: int = 3,
) -> SweepSummary:
    """:func:`skimp.sweep` with its points as tasks of a Ray cluster; the rows are the same.

    ``address`` is Ray's (``None``: the cluster that the process is connected to, or a new one here); a task takes
    ``num_cpus`` threads. A block whose worker dies is tried again ``max_retries`` times, then in halves; a point that kills
    its worker again and again ends the sweep with its values, and what is finished stays.
    """
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise SkimpError("skimp.ray needs ray: pip install 'skimp[ray]'") from error
    folder = None if cache_dir is None else os.fspath(cache_dir)
    options: dict[str, Any] = {"images": images, "accuracy_images": accuracy_images, "cache": cache, "cache_dir": folder}
    opened = Sweep(sweep, network=network, data=data, **options)
    if not opened.is_planned:
        raise UsageError(f"{opened.name}: its search chooses points as it goes, which only skimp.sweep does")
    # What is wrong with the folder is known before the cluster is asked for anything.
    store = _native.SweepStore(opened._native, os.fspath(output), resume)
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(address=address, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise SweepError(f"no Ray cluster at {address}: {error}; points that are finished stay") from error
    names = opened.axes
    done = {_canonical(json.loads(axes)) for axes in store.axes()}
    points = [point for point in opened._native.points() if _axes(names, point) not in done]
    task = ray.remote(num_cpus=num_cpus, max_retries=max_retries)(work)
    arguments = (ray.put(opened.to_toml()), _native.VERSION, (cache, folder))
    slots = max(1, int(ray.cluster_resources().get("CPU", 1)) // num_cpus)
    queue = _Queue(points)
    running: dict[Any, list[list[Any]]] = {}
    try:
        while running or queue:
            while queue and len(running) < 2 * slots:
                block = queue.next(slots)
                running[task.remote(*arguments, block, num_cpus)] = block
            [ready, *_], _ = ray.wait(list(running), num_returns=1)
            block = running.pop(ready)
            try:
                rows, seconds = ray.get(ready)
            except ray.exceptions.RayTaskError as error:
                cause = error.cause
                raise (cause if isinstance(cause, SkimpError) else SweepError(str(error))) from error
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
                if len(block) == 1:
                    values = dict(zip(names, block[0], strict=True))
                    raise SweepError(f"point {values} ended its worker {max_retries + 1} times: {error}") from error
                queue.again(block)
            except ray.exceptions.RayError as error:
                raise SweepError(f"the Ray cluster failed: {error}; finished points stay") from error
            else:
                store.add(rows)
                queue.took(len(rows), seconds)
    finally:
        for reference in running:
            ray.cancel(reference, force=False)
    # All is there: the report and the summary are the local sweep's.
    return opened.run(output, resume=True)


def _axes(names: list[str], point: list[Any]) -> str:
    """The axes of a point as its row has them."""
    return _canonical({name: value for name, value in zip(names, point, strict=True) if value is not None})


def _canonical(axes: dict[str, Any]) -> str:
    return json.dumps(axes, sort_keys=True)


class _Queue:
    """Points in blocks that take about as long as they should."""

    def __init__(self, points: list[list[Any]]) -> None:
        self._points = points
        self._at = 0
        self._blocks: list[list[list[Any]]] = []
        self._seconds = 0.0
        self._n = 0

    def __bool__(self) -> bool:
        return self._at < len(self._points) or bool(self._blocks)

    def next(self, slots: int) -> list[list[Any]]:
        """The next block; neighbors, which share stages, stay together."""
        if self._blocks:
            return self._blocks.pop()
        left = len(self._points) - self._at
        size = FIRST_BLOCK
        if self._n:
            wanted = max(BLOCK_SECONDS, 2.0 * TASK_SECONDS * slots)
            size = min(math.ceil(wanted / max(self._seconds / self._n, 1e-6)), MOST_IN_BLOCK)
        # At the end no slot waits for another's long block.
        size = max(1, min(size, math.ceil(left / slots)))
        block = self._points[self._at : self._at + size]
        self._at += size
        return block

    def took(self, n: int, seconds: float) -> None:
        """What the points of a block took."""
        self._seconds += seconds
        self._n += n

    def again(self, block: list[list[Any]]) -> None:
        """A block that ended its worker, in halves."""
        half = len(block) // 2
        self._blocks += [block[half:], block[:half]]
