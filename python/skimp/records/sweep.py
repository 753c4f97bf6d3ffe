"""Sweeps."""

from __future__ import annotations

from typing import Any

from skimp._record import Part, Record
from skimp.records.study import InputDigest


class ObjectiveRecord(Part):
    """A figure that is sought small or large."""

    name: str
    """Name of the figure."""
    unit: str
    """Unit of the figure; empty for none."""
    maximize: bool
    """Whether more is better."""


class AxisColumn(Part):
    """One thing that was varied."""

    key: str
    """Name, as sweep files have it."""
    values: list[Any]
    """Number, text, truth value, list or table per point; ``None`` where the point does not set the key."""


class FigureColumn(Part):
    """One thing that was found."""

    name: str
    """Name, such as ``energy``."""
    unit: str
    """Unit; empty for none."""
    values: list[float | None]
    """One number per point; none where the point has none."""


class WhyColumns(Part):
    """The slowest layers of all points: names once, numbers per point."""

    layers: list[str]
    """Names of layers."""
    bounds: list[str]
    """What bounds a layer, in words; several are told apart by semicolons."""
    points: list[Any]
    """Per point its slowest layers, slowest first: index of the layer, index of what bounds it, share of the point's
    cycles. Empty where nothing is known."""


class SweepRecord(Part):
    """The points of a sweep, by column: what was varied, what was found, and why points have no figures."""

    schema: str
    """``skimp.sweep/1``."""
    skimp_version: str
    """Version of the program that made the record."""
    name: str
    """Short name of the sweep."""
    title: str
    """One line for the top of the report; empty: the name."""
    summary: str
    """What is asked."""
    config_toml: str
    """The resolved sweep file as TOML."""
    base_toml: str
    """A sweep file without points of its own."""
    seed: int
    """The seed of every random stream."""
    objectives: list[ObjectiveRecord]
    """What is sought, most important first."""
    constraints: list[str]
    """The constraints as written."""
    axes: list[AxisColumn]
    """What was varied."""
    figures: list[FigureColumn]
    """What was found."""
    point_ids: list[str]
    """A unique name per point."""
    status: list[str]
    """How each point ended: ``ok``, ``infeasible`` or ``failed``."""
    reasons: list[str]
    """Why a point is not ``ok``; empty where it is."""
    why: WhyColumns
    """The slowest layers of each point."""
    inputs: list[InputDigest]
    """The files that were read."""
    provenance: list[str]
    """What else tells where the figures come from, a sentence each."""


class StageCount(Part):
    """What a stage worked out."""

    stage: str
    """The stage."""
    made: int
    """Results that it made."""
    from_disk: int
    """Results that it read from the folder that outlives the run."""
    shared: int
    """How often points took one that was there."""


class SweepSummary(Record):
    """What a sweep did."""

    record: SweepRecord
    """All points that are there, those of earlier runs among them."""
    n_done: int
    """Points of the search that are done."""
    n_points: int
    """Points of the search, as far as it is known."""
    n_new: int
    """Points that this run worked out."""
    front: list[str]
    """Names of the points that no other one within the constraints dominates."""
    interrupted: bool
    """Whether it was stopped."""
    seconds: float
    """Wall-clock time."""
    stages: list[StageCount]
    """What each stage worked out, and how often points shared it."""
