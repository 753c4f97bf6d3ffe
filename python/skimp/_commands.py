"""What belongs to no network."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Literal

from skimp import _native
from skimp._network import Data, InputSize, Network, Split, given, made
from skimp._options import path, texts
from skimp.records import DataSetRecord, DistillRecord, StudyRecord, SupportRecord, TrainRecord


def study(
    study: str | os.PathLike[str] = "tour",
    *,
    output: str | os.PathLike[str] = "skimp-study",
    network: str | os.PathLike[str] | None = None,
    data: str | None = None,
    preprocess: str | None = None,
    input_size: InputSize | None = None,
    images: int | None = None,
    accuracy_images: int | None = None,
    tuning_images: int | None = None,
    tuning_split: Split | None = None,
    judge_by: Literal["labels", "answers"] | None = None,
    seed: int | None = None,
    costs: str | os.PathLike[str] | None = None,
    allowed_loss_points: float | None = None,
    resume: bool = False,
) -> StudyRecord:
    """Runs a study, a file or an embedded one, and writes report, records and tables into ``output`` (``skimp study``)."""
    options: dict[str, Any] = given(locals())
    options |= {"network": path(network), "costs": path(costs)}
    return StudyRecord(_native.study(os.fspath(study), os.fspath(output), options))


def train(
    network: str | os.PathLike[str],
    *,
    data: str,
    output: str | os.PathLike[str] | None = None,
    preprocess: str | None = None,
    input_size: InputSize | None = None,
    validation: Literal["test", "none"] | int = "test",
    images: int | None = None,
    validation_share: float | None = None,
    validation_images: int | None = None,
    augment: str | Iterable[str] = (),
    output_name: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    drop_last: bool = False,
    learning_rate: float | None = None,
    schedule: str | None = None,
    optimizer: str | None = None,
    weight_decay: float | None = None,
    no_decay: Iterable[str] | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    loss: str | None = None,
    precision: str | None = None,
    quantizer: str | None = None,
    noise: str | None = None,
    freeze: str | Iterable[str] = (),
    batch_norm_momentum: float | None = None,
    seed: int | None = None,
    resume: bool = False,
    folder: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    log: str | Iterable[str] | None = None,
) -> tuple[Network, TrainRecord]:
    """Trains a built-in network, or an ONNX file further (``skimp train``).

    ``output`` names the trained network; checkpoints, logs and the report lie in a folder beside it. Without it the network is
    in memory only, and nothing is kept of the run.
    """
    settings = given(locals())
    place: dict[str, Any] = {name: settings.pop(name) for name in ("output", "resume", "folder", "checkpoint_every") if name in settings}
    if settings.pop("log", None) is not None:
        place["log"] = texts(log) if log is not None else []
    images_of: dict[str, Any] = {
        name: settings.pop(name) for name in ("data", "preprocess", "input_size") if name in settings
    }
    images_of["validation"] = str(settings.pop("validation"))
    del settings["network"]
    settings |= {"augment": texts(augment), "freeze": texts(freeze)}
    if no_decay is not None:
        settings["no_decay"] = texts(no_decay)
    trained, record = _native.train(os.fspath(network), images_of, settings, place)
    return made(trained), TrainRecord(record)


def distill(
    student: str | os.PathLike[str],
    *,
    teacher: str | os.PathLike[str],
    data: Data,
    output: str | os.PathLike[str] | None = None,
    split: Split | None = None,
    preprocess: str | None = None,
    input_size: InputSize | None = None,
    seed: int | None = None,
    output_name: str | None = None,
    temperature: float | None = None,
    alpha: float | None = None,
    hint: str | None = None,
    hint_epochs: int | None = None,
    attention: str | None = None,
    beta: float | None = None,
    epochs: int | None = None,
    train_images: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    schedule: str | None = None,
    optimizer: str | None = None,
    weight_decay: float | None = None,
    augment: str | Iterable[str] = (),
    training_seed: int | None = None,
    resume: bool = False,
    folder: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    accuracy_images: int | None = None,
) -> tuple[Network, DistillRecord]:
    """Trains a student on the answers of a teacher (``skimp distill``)."""
    options = given(locals()) | {"augment": texts(augment)}
    trained, record = _native.distill(os.fspath(student), os.fspath(teacher), options)
    return made(trained), DistillRecord(record)


def data(data: str, *, all: bool = False) -> DataSetRecord:
    """Checks a data set and says what it holds (``skimp data``); with ``all`` every image is decoded."""
    return DataSetRecord(_native.describe_data(data, all))


def show(name: str, *, kind: Literal["accelerator", "costs", "study"] | None = None) -> str:
    """An accelerator's preset, a cost table or an embedded study, as TOML (``skimp show``)."""
    return _native.show(name, kind)


def report(results: str | os.PathLike[str]) -> str:
    """The HTML report of a finished study or sweep, from its folder (``skimp report``)."""
    return _native.report(os.fspath(results))


def support(model: str | os.PathLike[str], *, input_size: InputSize | None = None) -> SupportRecord:
    """What skimp can do with a network, and why not (``skimp inspect --support``). Nothing runs."""
    return SupportRecord(_native.support(os.fspath(model), {"input_size": input_size}))
