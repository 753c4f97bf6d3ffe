"""Parts that several records have."""

from __future__ import annotations

from skimp._record import Part


class LeftOut(Part):
    """A layer that a run does not cover."""

    name: str
    """Name of the layer in the network."""
    operator: str
    """Operator, such as ``MatMul``."""
    macs: int
    """Its multiply-accumulates."""
    reason: str
    """Why."""


class TrainConfig(Part):
    """Everything that decides the trained weights; with the digests of network and data it repeats the run."""

    network: str
    """A built-in network (trained from scratch), an embedded one, or an ONNX file (trained further)."""
    input_size: list[int] | None
    """Input height and width, where the network leaves them open."""
    data: str
    """The data set, ``NAME[:DIR]``."""
    preprocess: str | None
    """Preprocessing; where none is given, what the network names, else the data set's own."""
    output_name: str | None
    """The network's output that holds the answers; where none is given, the one with a number for each class. The
    resolved configuration of a network with several outputs says which."""
    images: int | None
    """Train on this many images of the training split, chosen by the seed; all where none is given."""
    validation: str
    """What the network is measured on after each epoch."""
    validation_share: float | None
    """Hold out this share of the training images, chosen by the seed, in place of the test split. Where the data
    set has no test split and nothing is given, a fifth; the resolved configuration says so."""
    validation_images: int | None
    """Measure on the first of them only."""
    epochs: int
    """Passes over the training images."""
    batch_size: int
    """Images of a batch."""
    drop_last: bool
    """Whether the last batch of an epoch is left out where it is smaller than the others."""
    learning_rate: float
    """Base learning rate."""
    schedule: str
    """The learning rate over the run, such as ``cosine:warmup=2``."""
    optimizer: str
    """The update rule, such as ``sgd:momentum=0.9``."""
    weight_decay: float
    """Weight decay."""
    no_decay: list[str]
    """Kinds of parameters that do not decay: ``weight``, ``bias``, ``scale``, ``shift``, ``slope``, ``step``."""
    clip_norm: float | None
    """Greatest norm of all gradients together."""
    clip_value: float | None
    """Greatest magnitude of one gradient."""
    loss: str
    """What is minimized: ``cross-entropy[:label_smoothing=S]``, ``squared-hinge`` or ``hinge``."""
    augment: list[str]
    """Augmentations, such as ``flip`` and ``crop:pad=4``, in order."""
    precision: str
    """The precision policy, ``NAME[:switch=value,...]``."""
    quantizer: str | None
    """The form of the trained network, ``NAME[:setting=value,...]``; the network's own where none is given."""
    noise: str | None
    """The resistive cells that deviate in training, ``DEVICE[:setting=value,...]``."""
    freeze: list[str]
    """Parameters that stay as they are: names, or beginnings of names that end in ``*``."""
    batch_norm_momentum: float
    """Share of the new batch in batch normalization's running statistics."""
    seed: int
    """Seed of weights, order, augmentation, dropout and rounding."""


class Coverage(Part):
    """The part of a network's multiply-accumulates that a run covers: that an accelerator simulated, or that ran in
    integers."""

    network_macs: int
    """Those of the network."""
    macs: int
    """Those covered."""
    percent: float
    """Share covered, in percent; 100 for a network without any."""
    other_macs: int | None
    """Multiplications of covered layers that do not count as a network's multiply-accumulates: batch normalizations
    that no convolution took in."""
    left_out: list[LeftOut]
    """Layers that are not covered, in execution order."""


class DataRecord(Part):
    """The data set that was run."""

    name: str
    """Name in the registry of data sets, such as ``cifar10``."""
    spec: str | None
    """The argument as the user gave it, such as ``cifar10:DIR``."""
    split: str | None
    """``train`` or ``test``."""
    preprocess: str | None
    """The preprocessing: a name or keys with values."""
    adapted: list[str]
    """What was changed in the images to fit the network's input, beside preprocessing."""
    sha256: str | None
    """SHA-256 of what was read, where the data set has one."""


class ModelRecord(Part):
    """The network that was run."""

    name: str
    """Short name, such as ``vgg16``."""
    path: str | None
    """The path as the user gave it; ``None`` for an embedded or built-in network."""
    sha256: str
    """SHA-256 of the file, 64 lower-case hexadecimal digits; of name, settings and seed for a built-in network."""
    untrained: bool | None
    """Whether the weights are random initial ones, so that accuracies and densities mean nothing."""
