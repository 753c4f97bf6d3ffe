"""What a network is, and what became of it."""

from __future__ import annotations

from skimp._record import Part, Record
from skimp.records.common import Coverage, DataRecord, ModelRecord


class DesignSupport(Part):
    """What one design does with a network's layers."""

    design: str
    """Its name."""
    needs: str
    """What it must see of a layer."""
    layers: int
    """Layers that it runs."""
    of: int
    """Layers of the integer network."""
    macs: int
    """Multiply-accumulates of one image in the layers that it runs."""
    reasons: list[str]
    """Why it does not run the others, or what it asks for."""


class UnknownOperatorRecord(Part):
    """An operator that skimp does not know."""

    operator: str
    """Its name, with its domain where that is not ONNX's own."""
    nodes: list[str]
    """Names of the nodes."""
    way_out: str
    """What can be done about it."""


class SupportVerdict(Part):
    """An answer and what there is to say about it."""

    answer: str
    """``yes``, ``no`` or ``in part``."""
    reasons: list[str]
    """Why not, or how far."""


class SpikingPoint(Part):
    """A number of time steps, and what a network does within them."""

    steps: int
    """Time steps of a layer; those of the network for rates."""
    latency_steps: int
    """Time steps until the answer, over all layers."""
    images: int
    """Images."""
    top1: float
    """Share of images whose label is the first guess."""
    spikes_per_image: float
    """Spikes of all neurons until the answer."""
    synaptic_operations_per_image: float | None
    """Additions that these spikes make in the layers behind them."""
    synaptic_nj_per_image: float | None
    """Nanojoules of these additions, as 32-bit additions of `horowitz-45nm`."""


class Accuracy(Part):
    """Share of images that were classified correctly."""

    top1: float
    """Fraction of images whose label is the first guess."""
    top5: float | None
    """Fraction of images whose label is among the first five guesses."""
    n_images: int
    """Images that were classified."""


class NeuronRecord(Part):
    """The neurons of one layer."""

    name: str
    """Name of the node."""
    threshold: float
    """Its threshold: the value that a rate of 1, or the earliest spike, stands for."""


class BinaryLayerRecord(Part):
    """A layer on bits."""

    name: str
    """Name of its node."""
    weight_shape: list[int]
    """``k, c, r, s``."""
    activations: str
    """What its inputs are: ``±1`` or ``1/0``, perhaps times a number."""
    padding: str
    """What its padding holds."""
    gives: str
    """What it gives: ``bits`` by integer thresholds, or ``sums``."""
    macs: int
    """Multiply-accumulates for one image."""


class QuantizedAccuracy(Part):
    """Accuracy of a network before and after quantization, on the same labeled images."""

    split: str
    """Part of the data set."""
    engine_before: str
    """Engine of the float network."""
    before: Accuracy
    """The float network."""
    engine_after: str
    """Engine of the quantized network."""
    after: Accuracy
    """The quantized network."""


class FloatNodeRecord(Part):
    """A node that computes in floating point."""

    name: str
    """Name of the node."""
    operator: str
    """Its operator."""


class EncodingRecord(Part):
    """What the codes of a value stand for: ``real = (code − zero_point) · scale``."""

    name: str
    """Name of the value."""
    scale: float
    """Scale."""
    zero_point: int
    """Zero point."""


class QuantizedLayerRecord(Part):
    """A layer with weights in few bits."""

    name: str
    """Name of its node."""
    operator: str
    """Operator it was."""
    weight_shape: list[int]
    """``k, c / groups, r, s``."""
    weight_scale_min: float
    """The least weight scale."""
    weight_scale_max: float
    """The greatest weight scale."""
    weight_scales: int
    """Weight scales, one or one for each output channel."""
    input_scale: float
    """Scale of its input."""
    input_zero_point: int
    """Zero point of its input."""
    weight_bits: int
    """Width of its weights."""
    sqnr_db: float | None
    """Signal-to-quantization-noise ratio of what it computes, in dB, errors of earlier layers included; left out
    where nothing differs from the float network."""


class InspectTotal(Part):
    """Sums over a network."""

    weights: int
    """Convolution and dense weights (weights only, P_w)."""
    parameters: int
    """Weights, biases, batch-norm scale and shift (P_tot)."""
    buffers: int
    """Batch-norm means and variances, which are no parameters."""
    macs: int
    """Multiply-accumulates of convolutions and dense layers."""
    convolution_macs: int
    """Multiply-accumulates of convolutions alone."""
    activation_sum: int
    """Elements of all convolution and dense outputs (activation size, definition a)."""
    activation_peak: int
    """Most elements alive at once at inference (activation size, definition c)."""


class InspectLayer(Part):
    """One node."""

    name: str
    """Name of the node."""
    operator: str
    """Operator as in ONNX."""
    input_shapes: list[list[int]]
    """Shapes of the inputs that are not constants."""
    output_shapes: list[list[int]]
    """Shapes of the outputs."""
    weights: int
    """Convolution and dense weights."""
    parameters: int
    """Weights, biases, batch-norm scale and shift."""
    macs: int
    """Multiply-accumulates."""


class NamedShape(Part):
    """A value and its shape."""

    name: str
    """Name of the value."""
    shape: list[int]
    """Extents."""


class SupportRecord(Record):
    """What skimp can do with a network: ``skimp.support/1``."""

    schema: str
    """``skimp.support/1``."""
    skimp_version: str
    """Version of the program."""
    model: str
    """The network as it was asked for."""
    imported: SupportVerdict
    """Whether it is read, and runs on the float engines."""
    unknown_operators: list[UnknownOperatorRecord]
    """Operators of its file that skimp does not know."""
    integer: SupportVerdict | None
    """Whether its layers run in integers, ``None`` if it is not read."""
    trained: SupportVerdict | None
    """Whether it can be trained, ``None`` if it is not read."""
    simulated: list[DesignSupport]
    """What each design does with its layers; none if it is not read or has no integer form."""


class ConvertSnnRecord(Record):
    """A converted network: ``skimp.convert-snn/1``. Accuracies are fractions."""

    schema: str
    """``skimp.convert-snn/1``."""
    skimp_version: str
    """Version of the program."""
    model: ModelRecord
    """The network that was converted."""
    data: DataRecord
    """The data that set the thresholds."""
    coding: str
    """What tells a value."""
    time_steps: int
    """Time steps of the file, over all layers."""
    reset: str
    """What a spike does to the potential."""
    reset_time: str
    """When it does that."""
    strict: bool
    """Whether a potential must be above the threshold."""
    initial: float
    """The first potential, as a share of the threshold."""
    input_coding: str
    """What the network is fed."""
    percentile: float
    """The share of values that thresholds do not cut off, in percent."""
    fraction: float
    """The thresholds as a share of that value."""
    calibration_images: int
    """Images that set the thresholds."""
    neurons: list[NeuronRecord]
    """The neurons, in order."""
    notes: list[str]
    """What the conversion changed besides."""
    before: Accuracy | None
    """Accuracy of the network that was converted."""
    points: list[SpikingPoint]
    """Accuracy and spikes after numbers of time steps, ascending."""


class BinarizeRecord(Record):
    """A packed network: ``skimp.binarize/1``."""

    schema: str
    """``skimp.binarize/1``."""
    skimp_version: str
    """Version of the program."""
    model: ModelRecord
    """The network."""
    onnx_bytes: int
    """Size of the network as ONNX, with weights of 32 bits."""
    bytes: int
    """Size of the file written."""
    in_bits: Coverage
    """The part of the network's work that is on packed bits."""
    layers: list[BinaryLayerRecord]
    """Layers on bits."""


class QuantizeRecord(Record):
    """A quantized network: ``skimp.quantize/2``."""

    schema: str
    """``skimp.quantize/2``."""
    skimp_version: str
    """Version of the program."""
    model: ModelRecord
    """The float network."""
    data: DataRecord
    """The calibration data."""
    weight_bits: int
    """Width of weight codes, 2 to 8; they are stored as int8."""
    activation_bits: int
    """Width of activation codes: 8."""
    weight_scales: str
    """How many scales the weights of a layer have."""
    weight_scheme: str
    """Where the zero points of weights lie."""
    activation_scheme: str
    """Where the zero points of activations lie."""
    activation_type: str
    """How activation codes are stored: ``uint8`` or ``int8``."""
    calibration: str
    """Ranges of activations."""
    calibration_images: int
    """Images that set the ranges, for whoever calibrates."""
    requantization: str
    """How accumulators become codes: ``float``, ``gemmlowp``, ``single`` or ``exact``."""
    output_form: str
    """What the network puts out."""
    bytes_before: int
    """Size of the float network."""
    bytes_after: int
    """Size of the file written."""
    in_integers: Coverage
    """The part of the network's work that runs in integers."""
    warnings: list[str]
    """What to know before using the network."""
    layers: list[QuantizedLayerRecord]
    """Convolutions and dense layers."""
    values: list[EncodingRecord]
    """Values that are stored as codes."""
    float_nodes: list[FloatNodeRecord]
    """Nodes that compute in floating point."""
    error_images: int
    """Images over which ``sqnr_db`` of the layers was measured: the first ones of calibration."""
    accuracy: QuantizedAccuracy | None
    """Accuracy before and after, where it was measured."""


class InspectRecord(Record):
    """A network's layers and counts for one image: ``skimp.inspect/1``."""

    schema: str
    """``skimp.inspect/1``."""
    skimp_version: str
    """Version of the program."""
    model: ModelRecord
    """The network."""
    inputs: list[NamedShape]
    """Shape of each input, for one image."""
    outputs: list[NamedShape]
    """Shape of each output, for one image."""
    layers: list[InspectLayer]
    """The nodes, in execution order."""
    total: InspectTotal
    """Sums over the layers."""


class EvaluateRecord(Record):
    """Accuracy of one network: ``skimp.evaluate/1``. Accuracies are fractions."""

    schema: str
    """``skimp.evaluate/1``."""
    skimp_version: str
    """Version of the program."""
    model: ModelRecord
    """The network."""
    data: DataRecord
    """The data."""
    engine: str
    """Engine that computed."""
    order: str | None
    """In which order sums were added up, for the fast f32 engine: ``exact`` or ``free``."""
    weight_bits: int | None
    """Width of the weights, for the integer engine on a float network."""
    activation_bits: int | None
    """Width of the activations, for the integer engine on a float network."""
    requantization: str | None
    """How accumulators become codes, for the integer engine on a network in QDQ form."""
    time_steps: int | None
    """Time steps of a spiking network."""
    spikes_per_image: float | None
    """Spikes of all neurons over all time steps, of a spiking network."""
    synaptic_operations_per_image: float | None
    """Additions that these spikes make in the layers behind them."""
    synaptic_nj_per_image: float | None
    """Nanojoules of these additions, as 32-bit additions of `horowitz-45nm`."""
    output_name: str
    """The network's output that held the answers."""
    in_integers: Coverage | None
    """The part of the network's work that ran in integers, for the integer engine."""
    in_bits: Coverage | None
    """The part of the network's work that ran on packed bits, for the binary engine."""
    warnings: list[str]
    """What to know before believing the accuracy."""
    images: int
    """Images classified."""
    correct: int
    """Images whose label is the first guess."""
    correct_top5: int | None
    """Images whose label is among the first five guesses; left out for five classes or fewer."""
    top1: float
    """Share of images whose label is the first guess."""
    top5: float | None
    """Share of images whose label is among the first five guesses; left out for five classes or fewer."""
    seconds: float
    """Wall-clock time of loading, preprocessing and running."""
    images_per_second: float
    """Images per second."""
    images_per_s: float
    """The same under its short name."""
