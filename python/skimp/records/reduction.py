"""Networks made smaller."""

from __future__ import annotations

from typing import Any

from skimp._record import Part, Record
from skimp.records.common import ModelRecord, TrainConfig


class SensitivityPoint(Part):
    """Accuracy at one fraction."""

    asked: float
    """The fraction of channels or weights that was to remain."""
    kept: float
    """The fraction that remains, of the group's widest layer: channels are whole."""
    top1: float
    """Share of the test images classified right."""


class RuntimePointRecord(Part):
    """One setting of it."""

    penalty: float
    """The penalty on operations."""
    macs: float
    """Mean operations of a test image."""
    top1: float
    """Accuracy with them."""
    whole_top1: float
    """Accuracy of the same weights where nothing is skipped."""


class SensitivityCurve(Part):
    """How accuracy falls where one layer or group is pruned."""

    layers: list[str]
    """The layers."""
    points: list[SensitivityPoint]
    """The points, in the order asked for."""


class RecastStepRecord(Part):
    """What recasting a block brought."""

    block: int
    """Number of the block."""
    mse: float
    """Mean squared difference of student and teacher behind the next block."""
    relative_error: float
    """The same over the teacher's squares."""
    top1: float | None
    """Share of the test images that the whole student classifies right, later blocks the teacher's still."""


class BlockRecord(Part):
    """A block of a network."""

    block: int
    """Its number."""
    kind: str
    """Its type."""
    nodes: list[str]
    """Its first and last node."""
    in_channels: int
    """Channels that it reads."""
    out_channels: int
    """Channels that it makes."""
    stride: int
    """Its stride."""
    recast: bool
    """Whether it is recast."""


class RecastConfig(Part):
    """How a network is recast."""

    blocks: list[int]
    """Numbers of the blocks, from the input on; none to list the blocks only."""
    into: Any
    """What they become."""
    ratios: list[float]
    """Factors of their widths: one for each, one for all, or none for 1."""
    input_size: list[int] | None
    """Input height and width, where the network leaves them open."""
    finetune: int
    """Passes over the training images after all blocks."""
    training: TrainConfig
    """How each block trains; epochs are those of a block."""


class HintRecord(Part):
    """A hint: what the student's first layers learned of the teacher's before the rest."""

    student: str
    """The student's value."""
    teacher: str
    """The teacher's value."""
    regressor: list[int]
    """Shape of the regressor's weight between both: it is trained along and not exported."""
    epochs: list[float]
    """Half of the mean squared difference over the training images, for every epoch."""
    mse: list[float] | None
    """Mean squared difference on the test images: before, after the hint's epochs, and after all, with the same
    regressor."""


class LossRecord(Part):
    """The terms of the loss on the test images, without their factors."""

    teacher_term: float
    """``T² · KL(teacher ‖ student)`` at the temperature, a mean over images: 0 for a perfect match."""
    label_term: float
    """Cross-entropy with the labels, a mean over images."""
    attention_terms: list[float]
    """Difference of the attention maps, a mean over images and positions, of each pair: 0 for maps that are
    alike."""
    total: float
    """All, with their factors."""
    n_images: int
    """Images."""


class DistillConfig(Part):
    """How a student learns from a teacher."""

    temperature: float
    """Temperature of both softmaxes."""
    alpha: float
    """Share of the teacher's term in the loss; the rest is cross-entropy with the labels."""
    hint: Any | None
    """The value of the student whose layers learn a value of the teacher first."""
    hint_epochs: int | None
    """Passes over the training images for the hint."""
    attention: Any | None
    """Values of the student whose attention maps learn from those of the teacher."""
    beta: float
    """Factor of each attention term, a mean over positions."""
    input_size: list[int] | None
    """Input height and width, where the student leaves them open."""
    training: TrainConfig
    """How the student trains."""


class RuntimeRecord(Part):
    """A network of which each image computes a part. Accuracies are fractions of the test images."""

    macs: int
    """Multiply-accumulate operations of the whole network for an image."""
    top1: float
    """Accuracy of the whole network."""
    points: list[RuntimePointRecord]
    """One for each penalty on operations."""


class SpeedRecord(Part):
    """Time before and after, measured here, in alternation."""

    batch: int
    """Images of a batch."""
    threads: int
    """Threads."""
    pairs: int
    """Pairs of runs, one of each network."""
    before_ms: float
    """Median time of the network before, in milliseconds."""
    after_ms: float
    """Median time of the network after, in milliseconds."""
    speed_up: float
    """Ratio of the medians, before over after: above 1 is faster."""
    interval: list[float]
    """Interval that holds the ratio with 95 %, by bootstrap over the pairs."""
    verdict: str
    """What may be said: ``faster``, ``slower``, or ``no difference`` where the interval holds 1."""
    sparse_layers: list[str]
    """Layers of the network after that left out weights that are zero."""
    times_ms: list[list[float]]
    """Times of every pair in milliseconds, before and after."""


class RefusedRecord(Part):
    """A node that could not be reduced."""

    node: str
    """Its name."""
    reason: str
    """Why."""


class GroupRecord(Part):
    """Layers whose channels stay or go together."""

    layers: list[str]
    """Their names."""
    widest: str
    """The one that makes most channels, the first one of equals."""
    before: int
    """Channels of that one, before."""
    after: int
    """Channels of that one, after."""
    removed: list[int]
    """Which of these went."""


class NetworkMeasures(Part):
    """What a network takes, for one image where the number is open."""

    parameters: int
    """Weights, biases, scales and shifts."""
    weights: int
    """Weights of convolutions and dense layers alone."""
    zero_weights: int
    """Weights that are zero."""
    macs: int
    """Multiply-accumulate operations."""
    activation_elements: int
    """Elements that layers which multiply put out."""
    activation_bytes_moved: int
    """Bytes of 32-bit activations that nodes read and write where each reads its inputs and writes its outputs
    once."""
    peak_bytes: int
    """Bytes of 32-bit activations that are alive at once, at most, where each value goes after its last use."""
    file_bytes: int
    """Size of the ONNX file."""
    top1: float | None
    """Share of the images classified correctly."""
    latency_ms: float | None
    """Median time of a batch, in milliseconds."""


class PruneConfig(Part):
    """How a network is pruned."""

    method: str
    """The method, as ``skimp list methods`` names it."""
    target: str
    """What shall remain, such as ``channels=0.5``, ``macs=0.5``, ``latency=0.5`` or ``cycles@DESIGN=0.5``; or
    ``sparsity=0.9``."""
    scope: str
    """Which channels are compared with each other."""
    keep: list[str]
    """Layers that keep their channels or weights; a ``*`` at the end stands for any ending."""
    round_to: int
    """Kept channels go to the nearest multiple of this."""
    inexact: bool | None
    """Whether channels that statistics run over may go, too: layer and group normalization, softmax."""
    settings: Any | None
    """Settings of the method."""
    input_size: list[int] | None
    """Input height and width, where the network leaves them open."""
    batch_norm_images: int
    """Training images on which statistics of batch normalization are measured again after pruning; 0 for none."""
    finetune: int
    """Passes over the training images after pruning."""
    latency_batch: int | None
    """Images of a batch whose time is measured before and after; nothing is measured where none is given."""


class SensitivityRecord(Record):
    """How sensitive each layer is: ``skimp.sensitivity/1``."""

    schema: str
    """``skimp.sensitivity/1``."""
    skimp_version: str
    """Version of the program."""
    model: ModelRecord
    """The network."""
    config: PruneConfig
    """What was asked; its target is that of the last point."""
    top1: float
    """Share of the test images that the whole network classifies right."""
    n_images: int
    """How many images these were."""
    curves: list[SensitivityCurve]
    """A curve for each layer, or group of layers whose channels stay or go together."""
    refused: list[RefusedRecord]
    """What could not be reduced."""


class RecastRecord(Record):
    """A recast network: ``skimp.recast/1``."""

    schema: str
    """``skimp.recast/1``."""
    skimp_version: str
    """Version of the program."""
    model: ModelRecord
    """The network before."""
    config: RecastConfig
    """What was asked."""
    before: NetworkMeasures
    """The network before."""
    after: NetworkMeasures
    """The network after."""
    blocks: list[BlockRecord]
    """The blocks of the network before."""
    steps: list[RecastStepRecord]
    """What recasting each block brought."""
    untrained: bool
    """Whether the new blocks have random weights."""


class DistillRecord(Record):
    """A student after its training: ``skimp.distill/1``."""

    schema: str
    """``skimp.distill/1``."""
    skimp_version: str
    """Version of the program."""
    model: ModelRecord
    """The student."""
    teacher: ModelRecord
    """The teacher."""
    config: DistillConfig
    """What was asked."""
    teacher_measures: NetworkMeasures
    """The teacher."""
    before: NetworkMeasures
    """The student before."""
    after: NetworkMeasures
    """The student after."""
    losses: list[LossRecord] | None
    """The loss of the student, before and after."""
    hint: HintRecord | None
    """What the first layers learned before."""
    attention: list[list[str]]
    """The values whose attention maps learned, student's and teacher's."""
    epochs: list[float]
    """Loss over the training images of every epoch."""


class PruneRecord(Record):
    """A pruned network: ``skimp.prune/1``."""

    schema: str
    """``skimp.prune/1``."""
    skimp_version: str
    """Version of the program."""
    model: ModelRecord
    """The network before."""
    config: PruneConfig
    """What was asked."""
    before: NetworkMeasures
    """The network before."""
    after: NetworkMeasures
    """The network after."""
    groups: list[GroupRecord]
    """Layers whose channels stay or go together."""
    refused: list[RefusedRecord]
    """What could not be reduced."""
    speed: SpeedRecord | None
    """Time before and after."""
    runtime: RuntimeRecord | None
    """Where each image skips a part of the operations: how many it takes, and what that costs."""
    notes: list[str]
    """What a reader should know."""
