"""Studies."""

from __future__ import annotations

from typing import Any

from skimp._record import Part, Record


class Timing(Part):
    """How long a step took."""

    step: str
    """The step."""
    seconds: float
    """Wall-clock time."""


class InputDigest(Part):
    """A file that was read."""

    path: str
    """The path as the user gave it, or the name of what is embedded."""
    sha256: str
    """SHA-256, 64 lower-case hexadecimal digits."""
    size_bytes: int | None
    """Size; ``None`` where it is not one file."""


class Assumption(Part):
    """Something that was assumed."""

    text: str
    """What is assumed."""
    source: str
    """Citation, or why it is a fair choice."""


class PublishedFigure(Part):
    """A published figure and what we found."""

    quantity: str
    """What it is, with the conditions that matter."""
    published: str
    """The published value with its unit."""
    ours: str | None
    """Our value with its unit; ``None`` where we have none."""
    provenance: str
    """Where our value comes from."""
    source: str
    """Citation of the published value."""
    remark: str | None
    """Why the two differ."""


class StudyRecord(Record):
    """One study: question, inputs, results and where each number comes from. What was found stands in
    ``Self::sections``, which the kind of study brings; all else is the same for every kind."""

    schema: str
    """Always ``STUDY_SCHEMA``."""
    skimp_version: str
    """Version of the program that made the record."""
    kind: str
    """The kind of study, or ``TRAINING_RUN``."""
    name: str
    """Short name of the study, such as ``cifar10-resnet20``."""
    title: str
    """One line for the top of the report."""
    subject: str
    """What is asked about, as the subject of the summary sentence: ``Early negative detection``. Empty: what the
    kind of study says instead."""
    model_name: str
    """Name of the network."""
    untrained: bool | None
    """Whether the network's weights are random initial ones, so that accuracies and densities mean nothing."""
    data_name: str
    """Name of the data set."""
    n_images: int
    """Images whose operand values were simulated; 0 for none. Accuracies carry their own count."""
    seed: int
    """The seed of every random stream."""
    sections: Any
    """What was found."""
    published: list[PublishedFigure]
    """Published figures beside ours."""
    assumptions: list[Assumption]
    """What was assumed, and on whose authority."""
    config_toml: str
    """The resolved configuration as TOML. With the inputs of ``Self::inputs`` it repeats the study."""
    inputs: list[InputDigest]
    """The files that were read."""
    timings: list[Timing]
    """How long the steps took. The only part that differs between two runs of the same study."""
