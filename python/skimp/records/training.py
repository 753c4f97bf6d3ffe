"""Trainings."""

from __future__ import annotations

from skimp._record import Part, Record
from skimp.records.common import DataRecord, ModelRecord, TrainConfig


class TrainingEpoch(Part):
    """One epoch."""

    epoch: int
    """Number of the epoch, from 1."""
    step: int
    """Steps of the run at its end."""
    learning_rate: float
    """Learning rate of its last step."""
    train_loss: float
    """Mean loss over its training images, each at the time of its step."""
    train_accuracy: float
    """Share of training images classified correctly, each at the time of its step."""
    validation_loss: float | None
    """Mean loss over the validation images."""
    validation_accuracy: float | None
    """Share of validation images classified correctly."""
    skipped_steps: int
    """Steps whose update the precision policy skipped."""
    seconds: float
    """Wall-clock time of the training steps."""
    images_per_second: float
    """Training images per second."""


class TrainingStart(Part):
    """A trained network on the validation images, before it is trained further: epoch 0."""

    validation_loss: float | None
    """Mean loss over the validation images, where it is finite."""
    validation_accuracy: float
    """Share of validation images classified correctly."""


class TrainingRecord(Part):
    """A training run. Accuracies are fractions."""

    precision: str
    """The precision policy, with its switches."""
    optimizer: str
    """The update rule, with its settings."""
    schedule: str
    """The learning rate over the run, as it was written."""
    loss: str
    """What is minimized."""
    batch_size: int
    """Images of a batch."""
    n_train_images: int
    """Training images of an epoch."""
    n_validation_images: int
    """Images that the network is measured on after each epoch; 0 for none."""
    n_parameters: int
    """Trained parameters."""
    before: TrainingStart | None
    """What the network could do before the first step, where it was trained already."""
    epochs: list[TrainingEpoch]
    """The finished epochs."""


class OutputRecord(Part):
    """A file that was written."""

    path: str
    """Where."""
    sha256: str
    """SHA-256 of the content."""
    size_bytes: int
    """Size."""


class TrainRecord(Record):
    """A training run: ``skimp.train/1``. Accuracies are fractions."""

    schema: str
    """``skimp.train/1``."""
    skimp_version: str
    """Version of the program."""
    model: ModelRecord
    """The network before training."""
    data: DataRecord
    """The training images."""
    validation_data: DataRecord | None
    """The images that the network was measured on, where they are another split."""
    output: OutputRecord
    """The trained network."""
    folder: str
    """Folder of checkpoints, logs and report."""
    config: TrainConfig
    """The resolved configuration."""
    training: TrainingRecord
    """Epochs and totals."""
    top1: float | None
    """Share of the validation images that the trained network classifies correctly."""
    loss: float | None
    """Mean loss on the validation images."""
    seconds: float
    """Wall-clock time of all training steps, over all parts of a resumed run."""
