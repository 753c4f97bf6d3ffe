"""What belongs to no network."""

from __future__ import annotations

import os
from typing import Any, Literal

from skimp import _native
from skimp._network import InputSize, Split, given
from skimp._options import path
from skimp.records import StudyRecord


def study(
    study: str | os.PathLike[str] = "sample",
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
