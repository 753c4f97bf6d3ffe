"""Design spaces."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import skimp
from skimp import accelerator as own
from skimp import errors
from test_types import check

SMALL: dict[str, Any] = {
    "schema": 1,
    "name": "small",
    "objectives": ["latency", "energy"],
    "network": {"model": "sample-resnet"},
    "data": {"set": "sample", "images": 1, "accuracy_images": 0},
    "accelerator": {"model": "compend"},
    "axes": [
        {"name": "bits", "key": ["quantization.weight_bits", "quantization.activation_bits"], "values": [8, 16]},
        {"name": "rows", "key": "accelerator.set.pu_rows", "values": [3, 9, 18]},
    ],
}


def rows(folder: Path) -> list[tuple[Any, ...]]:
    """All that is stored of points but for times."""
    with sqlite3.connect(folder / "sweep.sqlite") as store:
        columns = [row[1] for row in store.execute("PRAGMA table_info(points)") if row[1] != "seconds"]
        return sorted(store.execute(f"SELECT {', '.join(columns)} FROM points").fetchall())


def test_sweep_is_the_command_line(cli: Callable[..., Any], tmp_path: Path) -> None:
    summary = skimp.sweep("sample-buffers", output=tmp_path / "python", accuracy_images=20)
    expected = cli("sweep", "sample-buffers", "--accuracy-images", "20", "-o", f"{tmp_path}/cli")
    assert rows(tmp_path / "python") == rows(tmp_path / "cli")
    assert summary.front == expected["front"] and summary.n_new == expected["n_new"] > 10
    assert summary.to_dict()["record"]["figures"] == expected["record"]["figures"]
    assert (tmp_path / "python" / "report.html").is_file()
    assert summary.to_csv().startswith("point_id,bits,accelerator") and "systolic" in summary.to_csv()
    check(summary, "sweep")


def test_sweeps_are_dictionaries_too_and_go_on(tmp_path: Path) -> None:
    whole = skimp.sweep(SMALL, output=tmp_path / "whole")
    assert (whole.n_done, whole.n_new, len(whole.record.point_ids)) == (6, 6, 6)
    for shard in ("1/2", "2/2"):
        skimp.sweep(SMALL, output=tmp_path / shard[0], shard=shard)
    assert skimp.merge_sweeps([tmp_path / "1", tmp_path / "2"], tmp_path / "joined") == 6
    assert rows(tmp_path / "joined") == rows(tmp_path / "whole")
    with pytest.raises(errors.SweepError, match="give --resume"):
        skimp.sweep(SMALL, output=tmp_path / "whole")
    again = skimp.sweep(SMALL, output=tmp_path / "whole", resume=True)
    assert (again.n_done, again.n_new) == (6, 0)
    assert skimp.export_sweep(tmp_path / "whole", tmp_path / "points.csv") == 6
    assert (tmp_path / "points.csv").read_text().count("\n") == 7


def test_what_stages_made_outlives_the_run(tmp_path: Path) -> None:
    plain = skimp.sweep(SMALL, output=tmp_path / "plain", accuracy_images=20)
    skimp.sweep(SMALL, output=tmp_path / "kept", accuracy_images=20, cache_dir=tmp_path / "cache")
    kept = sorted(path.name.split("-")[0] for path in (tmp_path / "cache").iterdir())
    assert kept == ["accuracy", "accuracy", "calibrated"] and plain.n_new == 6
    skimp.Sweep(SMALL, accuracy_images=20, cache_dir=tmp_path / "cache").run(tmp_path / "again")
    assert rows(tmp_path / "kept") == rows(tmp_path / "again") == rows(tmp_path / "plain")


def test_whoever_asks_gets_rows(tmp_path: Path) -> None:
    sweep = skimp.Sweep(SMALL)
    assert sweep.axes == ["bits", "rows"] and sweep.is_planned
    assert sweep.points()[:2] == [{"bits": 8, "rows": 3}, {"bits": 8, "rows": 9}]
    found = sweep.evaluate([{"rows": 18, "bits": 8}, [16, 3]])
    assert [(row.axes["rows"], row.status) for row in found] == [(18, "ok"), (3, "ok")]
    assert found[0].figures["latency"] is not None and found[1].figures["latency"] is not None
    assert found[0].figures["latency"] < found[1].figures["latency"]
    check(found[0], "row")
    assert found[0].config["accelerator"]["set"]["pu_rows"] == 18
    # What they are in a sweep of its own search.
    skimp.sweep(SMALL, output=tmp_path)
    stored = {row[0] for row in rows(tmp_path)}
    assert {row.point_id for row in found} <= stored
    [impossible] = sweep.evaluate([{"rows": 0}])
    assert impossible.status == "failed" and "pu_rows" in str(impossible.reason)
    with pytest.raises(errors.UsageError, match="no axis 'row'; axes are: bits, rows"):
        sweep.evaluate([{"row": 1}])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"axes": [{"key": "accelerator.set.pu_row", "values": [1]}]}, "pu_row"),
        ({"axes": [{"key": "quantization.weight_bits", "values": [99]}]}, "99"),
        ({"axis": []}, "unknown field `axis`"),
        ({"objectives": ["speed"]}, "is no figure"),
        ({"title": object()}, "has no form in a sweep file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    with pytest.raises((errors.SkimpError, TypeError), match=text):
        skimp.sweep(SMALL | change, output=tmp_path)
    with pytest.raises(errors.SweepError, match="neither a file nor an embedded sweep"):
        skimp.Sweep("no-such-sweep")


def test_designs_of_ones_own_are_swept(tmp_path: Path) -> None:
    class Wide(skimp.Accelerator):
        name = "wide"
        preset = "schema = 1\nlanes = 4 # lanes [1 to 64]\n"

        def simulate_layer(self, layer: skimp.Layer, trace: skimp.Trace) -> skimp.LayerResult:
            if self.settings["lanes"] == 13:
                raise ValueError("thirteen")
            cycles = -(-layer.dense_macs // self.settings["lanes"])
            return skimp.LayerResult({"compute": cycles}, operations=[own.multiply_adds(layer.dense_macs, bits=16)])

    axes = [{"name": "lanes", "key": "accelerator.set.lanes", "values": [1, 13, 64]}]
    summary = skimp.sweep(
        SMALL | {"accelerator": {"model": "wide"}, "axes": axes}, output=tmp_path, designs=[Wide]
    )
    assert sorted(summary.record.status) == ["failed", "ok", "ok"]
    [reason] = [reason for reason in summary.record.reasons if reason]
    assert "wide" in reason and "ValueError: thirteen" in reason and 'layer "conv1"' in reason


def test_an_interrupted_sweep_goes_on(tmp_path: Path) -> None:
    n = 2000
    many = SMALL | {"axes": [{"name": "rows", "key": "accelerator.set.pu_rows", "values": list(range(1, n + 1))}]}

    def interrupt() -> None:
        # Once the first points are in the store, when most are still to come.
        while not (tmp_path / "report.html").exists():
            time.sleep(0.02)
            if (tmp_path / "sweep.sqlite").exists():
                try:
                    if len(rows(tmp_path)) >= 5:
                        break
                except sqlite3.Error:
                    pass  # The table is being made.
        signal.raise_signal(signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        skimp.sweep(many, output=tmp_path)
        watcher.join()
        time.sleep(0.1)
    watcher.join()
    there = len(rows(tmp_path))
    summary = skimp.sweep(many, output=tmp_path, resume=True)
    assert summary.n_done == n and summary.n_new == n - there
