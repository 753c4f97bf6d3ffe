"""Design spaces."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union

from skimp import _native
from skimp._network import given
from skimp._options import path
from skimp._record import Part
from skimp.accelerator import Accelerator, checked
from skimp.errors import UsageError
from skimp.records import SweepSummary

SweepSource = Union[str, "os.PathLike[str]", Mapping[str, Any]]
"""A sweep file, an embedded sweep's name, or what a file holds as a dictionary (see docs/sweeps.md)."""

Point = Union[Mapping[str, Any], Sequence[Any]]
"""Values by the names of the axes, or in their order; one that is not there, or ``None``, is as in the base."""


class Row(Part):
    """One point of a sweep and what it brought."""

    point_id: str
    """A digest of all that it depends on."""
    status: str
    """``ok``, ``infeasible`` or ``failed``."""
    reason: str | None
    """Why it failed, or which constraint it breaks."""
    config: dict[str, Any]
    """The resolved configuration."""
    axes: dict[str, Any]
    """The values of the axes."""
    inputs: list[Any]
    """Path and digest of each input."""
    figures: dict[str, float | None]
    """Figures by name."""
    outcome: Any
    """What else it brought: the slowest layers, the cost table."""
    seconds: float | None
    """Time of its own work."""
    skimp_version: str
    """Version of the program."""


def row_of(row: _native.Row) -> Row:
    """A row, read."""
    point_id, status, reason, config, axes, inputs, figures, outcome, seconds, version = row
    return Row(
        {
            "point_id": point_id,
            "status": status,
            "reason": reason,
            "config": json.loads(config),
            "axes": json.loads(axes),
            "inputs": json.loads(inputs),
            "figures": dict(zip(_native.figure_names(), figures, strict=True)),
            "outcome": json.loads(outcome),
            "seconds": seconds,
            "skimp_version": version,
        }
    )


class Sweep:
    """A sweep that is open: whoever asks for points gets their rows, and what points share is worked out once.

    Any search may drive it: Optuna and pymoo choose points, :meth:`evaluate` says what they bring.
    """

    def __init__(
        self,
        sweep: SweepSource,
        *,
        network: str | os.PathLike[str] | None = None,
        data: str | None = None,
        images: int | None = None,
        accuracy_images: int | None = None,
        cache: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        designs: Iterable[type[Accelerator]] = (),
    ) -> None:
        options = {"network": path(network), "data": data, "images": images}
        options |= {"accuracy_images": accuracy_images, "cache": cache, "cache_dir": path(cache_dir)}
        self._classes = [checked(design) for design in designs]
        self.cache = cache
        if isinstance(sweep, Mapping):
            self._native = _native.Sweep(str(sweep.get("name", "sweep")), dict(sweep), self._classes, options)
        else:
            self._native = _native.Sweep(os.fspath(sweep), None, self._classes, options)

    @property
    def name(self) -> str:
        """Its name."""
        return self._native.name

    @property
    def axes(self) -> list[str]:
        """Names of its axes."""
        return self._native.axes

    @property
    def is_planned(self) -> bool:
        """Whether its search knows all points before the first one has run."""
        return self._native.is_planned

    def to_toml(self) -> str:
        """The resolved sweep, as a file that gives the same points."""
        return self._native.toml()

    def points(self) -> list[dict[str, Any]]:
        """The points of its own search; of one that chooses as it goes, the first ones."""
        names = self.axes
        return [dict(zip(names, point, strict=True)) for point in self._native.points()]

    def evaluate(self, points: Iterable[Point]) -> list[Row]:
        """Rows of points, in their order. A point that cannot run is a row with the reason."""
        return [row_of(row) for row in self._native.evaluate([self._values(point) for point in points])]

    def _values(self, point: Point) -> list[Any]:
        names = self.axes
        if not isinstance(point, Mapping):
            return list(point)
        unknown = [name for name in point if name not in names]
        if unknown:
            raise UsageError(f"no axis {', '.join(map(repr, unknown))}; axes are: {', '.join(names)}")
        return [point.get(name) for name in names]

    def run(
        self,
        output: str | os.PathLike[str] = "skimp-sweep",
        *,
        resume: bool = False,
        shard: str | None = None,
    ) -> SweepSummary:
        """Runs its search and writes store, report and resolved sweep into a folder."""
        options = given({"resume": resume, "shard": shard})
        return SweepSummary(self._native.run(os.fspath(output), self._classes, options))


def sweep(
    sweep: SweepSource,
    *,
    output: str | os.PathLike[str] = "skimp-sweep",
    network: str | os.PathLike[str] | None = None,
    data: str | None = None,
    images: int | None = None,
    accuracy_images: int | None = None,
    resume: bool = False,
    shard: str | None = None,
    cache: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    designs: Iterable[type[Accelerator]] = (),
) -> SweepSummary:
    """Runs every point of a design space and keeps each in ``output``, in ``sweep.sqlite`` (``skimp sweep``).

    ``designs`` are classes of one's own that the sweep names. After Ctrl-C, ``resume=True`` goes on. ``cache`` is the memory
    for what points share; in ``cache_dir`` reduced networks, ranges and accuracies outlive the run.
    """
    opened = Sweep(
        sweep,
        network=network,
        data=data,
        images=images,
        accuracy_images=accuracy_images,
        cache=cache,
        cache_dir=cache_dir,
        designs=designs,
    )
    return opened.run(output, resume=resume, shard=shard)


def export_sweep(
    folder: str | os.PathLike[str], output: str | os.PathLike[str], *, format: Literal["csv", "parquet"] = "csv"
) -> int:
    """Writes the points of a sweep as a table, and says how many there are (``skimp sweep export``)."""
    return _native.export_sweep(os.fspath(folder), format, os.fspath(output))


def merge_sweeps(folders: Iterable[str | os.PathLike[str]], output: str | os.PathLike[str]) -> int:
    """Joins the stores of a sweep's shards, and says how many points there are (``skimp sweep merge``)."""
    return _native.merge_sweeps([os.fspath(Path(folder)) for folder in folders], os.fspath(output))
