"""Sweeps over a cluster give the rows of the local ones."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import skimp
from skimp import _native, errors
from test_sweep import SMALL, rows

MANY = SMALL | {
    "axes": [
        {"name": "bits", "key": ["quantization.weight_bits", "quantization.activation_bits"], "values": [4, 8, 16]},
        {"name": "rows", "key": "accelerator.set.pu_rows", "values": list(range(1, 61))},
    ]
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    utils = pytest.importorskip("ray.cluster_utils")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Workers see the package as this process does.
    cluster = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_rows_are_those_of_the_local_sweep(cluster: Any, tmp_path: Path) -> None:
    import skimp.ray

    local = skimp.sweep(MANY, output=tmp_path / "local")
    far = skimp.ray.sweep(MANY, output=tmp_path / "ray")
    assert far.record.point_ids == local.record.point_ids and far.n_new == 0
    assert rows(tmp_path / "ray") == rows(tmp_path / "local")
    # Nothing is left to do, and another sweep is refused.
    assert skimp.ray.sweep(MANY, output=tmp_path / "ray", resume=True).n_done == len(local.record.point_ids)
    with pytest.raises(errors.SweepError, match="give --resume"):
        skimp.ray.sweep(MANY, output=tmp_path / "ray")


def test_a_node_that_dies_loses_nothing(cluster: Any, tmp_path: Path) -> None:
    import skimp.ray

    doomed = cluster.add_node(num_cpus=2)

    def kill() -> None:
        time.sleep(1.5)
        cluster.remove_node(doomed, allow_graceful=False)

    thread = threading.Thread(target=kill)
    thread.start()
    wide = MANY | {"data": {"set": "sample", "images": 4, "accuracy_images": 0}}
    skimp.ray.sweep(wide, output=tmp_path / "ray")
    thread.join()
    skimp.sweep(wide, output=tmp_path / "local")
    assert rows(tmp_path / "ray") == rows(tmp_path / "local")


def test_another_version_is_refused(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import skimp.ray

    monkeypatch.setattr(_native, "VERSION", "9.9.9")
    with pytest.raises(errors.SweepError, match="a worker has skimp .*, the driver 9.9.9: install the same on every node"):
        skimp.ray.sweep(SMALL, output=tmp_path)


def test_searches_that_choose_as_they_go_are_local() -> None:
    pytest.importorskip("ray")
    import skimp.ray

    with pytest.raises(errors.UsageError, match="only skimp.sweep does"):
        skimp.ray.sweep(SMALL | {"search": {"method": "evolution", "points": 4, "generations": 2}})


def test_a_point_that_ends_its_worker_is_named(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import skimp.ray

    def greedy(text: str, version: str, caches: tuple[str | None, str | None], points: list[list[Any]], cpus: int) -> Any:
        import signal

        from skimp.ray import work

        if any(point == [8, 9] for point in points):
            os.kill(os.getpid(), signal.SIGKILL)  # As the system does where memory is short.
        return work(text, version, caches, points, cpus)

    with monkeypatch.context() as patch:
        patch.setattr(skimp.ray, "work", greedy)
        with pytest.raises(errors.SweepError, match=r"point \{'bits': 8, 'rows': 9\} ended its worker 1 times"):
            skimp.ray.sweep(SMALL, output=tmp_path, max_retries=0)
    there = len(rows(tmp_path))
    assert there < 6
    # What is finished stays, and the rest is run elsewhere.
    summary = skimp.ray.sweep(SMALL, output=tmp_path, resume=True)
    assert (summary.n_done, len(rows(tmp_path))) == (6, 6)
