"""What accelerators did with a network."""

from __future__ import annotations

from typing import Any

from skimp._record import Part, Record
from skimp.records.common import Coverage, DataRecord, ModelRecord


class AttributionRecord(Part):
    """What one non-ideality does to the accuracy."""

    name: str
    """What it is called."""
    alone_points: float
    """Points that chips lose which have nothing else, mean of the chips."""
    removed_points: float
    """Points that chips win back without it, all else being there, mean of the chips."""


class Verdict(Part):
    """Whether something holds."""

    holds: bool
    """Whether it does."""
    reason: str | None
    """Why it does not."""


class Distribution(Part):
    """How often each value occurred."""

    first: int
    """The value of the first count."""
    counts: list[int]
    """Entry ``i`` counts the value ``first + i``."""


class AcceleratorTotal(Part):
    """What an accelerator needed for the whole network."""

    cycles: int
    """Cycles over all layers and images."""
    latency_ms: float
    """Time of one image: ``cycles / clock / images``."""
    energy_mj: float
    """Energy over all layers and images."""
    tops_per_w: float
    """Dense operations per second and watt in 10^12, one multiply-accumulate being two operations."""
    gmacs_per_s: float
    """Dense multiply-accumulates per second in 10^9, reached on this network."""
    simulated_percent: float
    """Share of the network's multiply-accumulates that these totals cover, in percent; 0 in records of versions
    that did not say it."""


class TuningRecord(Part):
    """What a search for an accelerator's parameters saw."""

    split: str
    """Part of the data set: ``train`` or ``test``."""
    first_image: int
    """First image of the search in that part, in the run's order."""
    n_images: int
    """Images of the search."""
    top1_exact: float
    """Share of them that the exact integer network gets right."""
    top1: float
    """The same with the parameters found."""


class ChipsRecord(Part):
    """The accuracy of several chips of one design, on the images of ``EffectAccuracy``."""

    top1_exact: float
    """Share of images that the exact network classifies right."""
    mean: float
    """Mean of the chips."""
    deviation: float
    """Standard deviation among chips; 0 of one."""
    interval: list[float]
    """Bounds of the 95 % confidence interval of the mean, by Student's t; of one chip 0 and 1."""
    top1: list[float]
    """Share of right answers of each chip, in the order of their numbers."""
    attribution: list[AttributionRecord]
    """What of the loss each non-ideality makes; empty where nobody asked."""
    interaction_points: float | None
    """Points of the loss that the non-idealities, each alone, do not add up to."""


class EffectAccuracy(Part):
    """What an approximate accelerator does to the accuracy of the integer network."""

    judged_by: str
    """What counts as right: ``labels``, or ``answers`` of the exact integer network."""
    top1_exact: float
    """Share of images that the exact integer network classifies right."""
    top1: float
    """The same under the accelerator's effect."""
    n_images: int
    """Images classified."""


class LayerRecord(Part):
    """One layer on one accelerator."""

    name: str
    """Name of the layer in the network."""
    operator: str
    """Operator, such as ``Conv``."""
    macs: int
    """Dense multiply-accumulates of one image."""
    images: int
    """Images that the sums below cover."""
    findings: list[FindingRecord]
    """What the design found beside its counts, in terms of its own."""
    mapping: dict[str, int]
    """How the layer was laid out, as named numbers of the design's own; the same for each image. Empty in records
    of versions that did not keep it."""
    cycles: dict[str, int]
    """Cycles, by phase."""
    events: dict[str, int]
    """Counted events by name, such as accesses of a buffer."""
    energy_nj: dict[str, float]
    """Energy in nJ, by component."""
    why: list[str]
    """Why it took longer than its multiply-accumulates at peak rate, from its counters, the largest loss first; and
    why a feature of the design was off."""
    notes: list[str]
    """What the reader should know about this layer: a mapping rule, a fallback."""


class FindingRecord(Part):
    """Something that a design found about a layer, or over all of its layers."""

    key: str
    """What was found, snake_case; designs that find the same thing share the key."""
    label: str
    """What it is called in front of readers."""
    kind: str
    """Which of the fields below hold it."""
    basis: str
    """How it is known."""
    value: float | None
    """The number, in ``unit``."""
    of: int | None
    """What the number is a part of, or how many it is a mean of."""
    unit: str | None
    """Unit of the number."""
    distribution: Distribution | None
    """How often each value occurred."""
    verdict: Verdict | None
    """Whether it holds, and if not, why."""
    description: str | None
    """What a reader needs to know of it; said of the network only, not of each layer again."""


class FactsRecord(Part):
    """What holds of a configured design, whatever it runs."""

    exact: bool
    """Whether it computes what the integer network computes, bit for bit."""
    needs: str
    """What it must see of a layer: ``shapes``, ``weights``, or ``operand values``."""
    exploits: list[str]
    """What it saves time or energy on."""
    remarks: list[str]
    """What else there is to know of its configuration."""


class EnergyRecord(Part):
    """What the energies of an accelerator cover. Scopes: ``mac``, ``registers``, ``buffers``, ``on_chip``,
    ``network``, ``off_chip``, ``static``, and ``chip`` for a sum over all but ``off_chip`` that its source does not
    break down."""

    technology_nm: float
    """Process node of the cost table."""
    priced: list[str]
    """Scopes in the sum."""
    left_out: list[str]
    """Scopes in which the design spends energy that is not in the sum."""
    components: dict[str, str]
    """Scope of each component's dynamic energy. Power while on belongs to ``static``, or to ``chip``."""
    by_scope_mj: dict[str, float]
    """Energy over all layers and images by scope."""


class OperandRecord(Part):
    """A tensor that a layer reads or writes."""

    elements: int
    """Elements of one image, or of a constant."""
    bits: int
    """Width of an element."""


class AcceleratorRecord(Part):
    """One accelerator variant and what it did."""

    name: str
    """Name in the registry of accelerators, such as ``compend``."""
    label: str
    """Unique name of the variant in this record, such as ``compend without END``."""
    config: dict[str, Any]
    """The resolved configuration."""
    costs: str | None
    """Name of the cost table that priced the energies. Energies of different tables do not compare. Empty in
    records of versions that did not name it."""
    energy: EnergyRecord | None
    """What the energies cover. Left out in records of versions that did not say it."""
    facts: FactsRecord | None
    """What holds of the design, whatever it runs. Left out in records of versions that did not say it."""
    approximate: bool | None
    """Whether it changes the values of the network."""
    clock_mhz: float
    """Clock."""
    area_mm2: float | None
    """Area of the chip as far as its cost table knows it."""
    peak_gmacs_per_s: float | None
    """Dense peak rate in 10^9 multiply-accumulates per second."""
    dram_gb_per_s: float | None
    """Off-chip memory bandwidth that the model honors, in 10^9 bytes per second."""
    findings: list[FindingRecord]
    """What it found over all layers and images."""
    layers: list[LayerRecord]
    """One entry per layer that ran, in execution order."""
    shape_layers: list[LayerRecord]
    """Layers that ran on random codes of their shape, because a published figure covers them: in no total."""
    other_layers: list[LayerRecord]
    """Layers without a matrix of weights that the design's model runs beside its totals."""
    accuracy: EffectAccuracy | None
    """Accuracy, where the accelerator changes values and labeled images were run."""
    chips: ChipsRecord | None
    """Accuracy of several chips, for a design that has samples, where they were asked for."""
    tuning: TuningRecord | None
    """The search that found the accelerator's parameters, if there was one; on other images than those of
    ``accuracy``."""
    total: AcceleratorTotal
    """The whole run."""


class OtherLayerRecord(Part):
    """A layer without a matrix of weights, for one image: each tensor is read or written once."""

    name: str
    """Name of the layer in the network."""
    operator: str
    """Operator, such as ``MaxPool``."""
    kind: str
    """``pool``, ``element-wise``, ``reduction``, ``normalization``, ``product``, or ``move``."""
    kernel: list[int] | None
    """Rows and columns of a pooling window."""
    strides: list[int] | None
    """Steps of a pooling window along rows and columns."""
    work: dict[str, int]
    """What it computes: ``macs``, ``comparisons``, ``additions``, ``multiplications``, or ``evaluations`` of its
    function."""
    reads: list[OperandRecord]
    """Tensors read, constants included."""
    writes: list[OperandRecord]
    """Tensors written."""
    read_bytes: int
    """Bytes of all tensors read."""
    written_bytes: int
    """Bytes of all tensors written."""
    not_modelled_by: list[str]
    """Labels of the designs whose models say nothing of it."""


class SimulationRecord(Record):
    """One network, run on some images by one or more simulated accelerators."""

    schema: str
    """Always ``SIMULATION_SCHEMA``."""
    skimp_version: str
    """Version of the program that made the record."""
    model: ModelRecord
    """The network."""
    data: DataRecord | None
    """Where the images came from; left out where layers ran by their shapes only."""
    images: int
    """How many images were run."""
    weight_bits: int
    """Width of the weights' integer codes."""
    activation_bits: int
    """Width of the activations' integer codes."""
    simulated: Coverage | None
    """The part of the network's work that cycles, events and energies cover; ``None`` in records of versions that
    did not say it."""
    other_layers: list[OtherLayerRecord]
    """The network's layers without a matrix of weights (pooling, element-wise operators, moves of data, products of
    two activations), in execution order. Empty in records of versions that did not list them."""
    warnings: list[str]
    """What the reader should know before believing any figure."""
    allowed_loss_points: float
    """Points of top-1 accuracy that an approximate accelerator may lose before what it saves is void."""
    accelerators: list[AcceleratorRecord]
    """One entry per accelerator variant, in the order of the request."""
