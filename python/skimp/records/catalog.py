"""What there is: lists, settings, data sets."""

from __future__ import annotations

from typing import Any

from skimp._record import Part, Record


class LeftOutRecord(Part):
    """Files or folders of one kind that are not used."""

    what: str
    """Which kind, and why."""
    count: int
    """How many."""
    example: str
    """The first of them."""


class ClassRecord(Part):
    """A class."""

    name: str
    """Its name."""
    images: int
    """Its images in the split."""


class SplitRecord(Part):
    """One split."""

    split: str
    """``train``, ``test`` or ``all``."""
    images: int
    """Number of images."""
    images_checked: int
    """Images that were decoded to see that they can be."""
    classes: int
    """Number of classes."""
    shape: list[int] | None
    """Channels, rows, columns; left out where images differ."""
    images_per_class: list[int]
    """Least and most images in a class."""
    sha256: str
    """SHA-256 of the content."""
    layout: str | None
    """How the files lie, and how classes are numbered, where there are several ways."""
    class_names: list[ClassRecord]
    """The classes in the order of their numbers, with their images, where they have names."""
    left_out: list[LeftOutRecord]
    """What is not used."""
    partial: list[str]
    """Files with more or fewer images than the distributed ones."""


class SettingRecord(Part):
    """One setting of an accelerator."""

    key: str
    """Its key."""
    unit: str | None
    """Unit, where the key names one."""
    default: Any
    """The preset's value."""
    range: str | None
    """What it may be."""
    meaning: str
    """What it means."""
    source: str | None
    """Where the preset's value comes from."""


class ListEntry(Part):
    """One registered thing."""

    name: str
    """Name on the command line."""
    summary: str
    """One line."""
    source: str | None
    """Authors, venue, year; or where it comes from."""


class ShowRecord(Record):
    """One embedded file: ``skimp.show/1``."""

    schema: str
    """``skimp.show/1``."""
    kind: str
    """One of ``SHOWN``."""
    name: str
    """Its name."""
    toml: str
    """The file, TOML."""
    also: list[str]
    """Other kinds that have something of that name."""


class DataSetRecord(Record):
    """A data set's splits: ``skimp.data/2``."""

    schema: str
    """``skimp.data/2``."""
    name: str
    """Name in the registry."""
    splits: list[SplitRecord]
    """The splits that are there; one, called ``all``, where both would hold the same images."""
    missing: list[str]
    """Why a split is not there."""


class SettingsRecord(Record):
    """The settings of an accelerator: ``skimp.settings/1``."""

    schema: str
    """``skimp.settings/1``."""
    accelerator: str
    """The accelerator."""
    settings: list[SettingRecord]
    """Its settings in the order of its preset."""


class ListRecord(Record):
    """Entries of one registry: ``skimp.list/1``."""

    schema: str
    """``skimp.list/1``."""
    entries: list[ListEntry]
    """Its entries, in order."""
    list: str
    """Which registry."""
