"""Accelerators of one's own, written in Python.

A subclass of :class:`Accelerator` takes part in simulations, studies and reports like an embedded design: give the class
itself as ``accelerator=``, or :func:`register` it and use its name, in study files, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from skimp import _native
from skimp.errors import UsageError

Activity = tuple[str, str, str, int]
"""Component, scope, key of the design's own cost table, events (of scope ``"static"``: powered cycles)."""

Operation = tuple[str, str, int, int, int]
"""What :func:`multiply_adds` and the like make."""


def multiply_adds(count: int, *, bits: int, component: str = "macs") -> Operation:
    """Multiplications of two numbers of ``bits``, each product added."""
    return ("multiply_add", component, 0, bits, int(count))


def additions(count: int, *, bits: int, component: str = "adders") -> Operation:
    """Additions of two numbers of ``bits``."""
    return ("add", component, 0, bits, int(count))


def register_accesses(count: int, *, bytes: int, bits: int, component: str = "registers") -> Operation:
    """Reads or writes of ``bits`` in register files of ``bytes``."""
    return ("registers", component, bytes, bits, int(count))


def buffer_accesses(count: int, *, bytes: int, bits: int, component: str = "buffer") -> Operation:
    """Reads or writes of ``bits`` in buffers of ``bytes``."""
    return ("buffer", component, bytes, bits, int(count))


def on_chip_accesses(count: int, *, bytes: int, bits: int, component: str = "memory") -> Operation:
    """Reads or writes of ``bits`` in an on-chip memory of ``bytes``."""
    return ("on_chip", component, bytes, bits, int(count))


def off_chip_bits(count: int) -> Operation:
    """Bits to and from off-chip memory."""
    return ("off_chip", "dram", 0, 1, int(count))


@dataclass(frozen=True)
class Layer:
    """One convolution or dense layer, for one image. A dense layer is a convolution of extents 1."""

    name: str
    kind: str
    """``"conv"`` or ``"dense"``."""
    n: int
    c: int
    h: int
    w: int
    k: int
    r: int
    s: int
    p: int
    q: int
    groups: int
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads_begin: tuple[int, int]
    pads_end: tuple[int, int]
    dense_macs: int
    compulsory_bits: int
    """Inputs, weights and outputs, each once."""
    weight_bits: int
    activation_bits: int
    activation_signed: bool
    padding_code: int
    """What the padding holds."""
    bias: bool
    first: bool
    """Whether it reads the network's input."""
    nonlinearity: str
    """``"none"``, ``"relu"``, ``"clipped-relu"`` or ``"sign"``."""
    weights: NDArray[np.int32] | None = field(repr=False)
    """Codes ``[k, c / groups, r, s]``, read-only; there if the design ``reads`` them."""

    def windows(self, activation: NDArray[np.int32]) -> NDArray[np.int32]:
        """What each output reads, padding included: a read-only view ``[groups, p, q, c / groups, r, s]`` of the padded
        codes."""
        pads = [(0, 0), *zip(self.pads_begin, self.pads_end, strict=True)]
        padded = np.pad(activation, pads, constant_values=self.padding_code)
        span = ((self.r - 1) * self.dilations[0] + 1, (self.s - 1) * self.dilations[1] + 1)
        views = sliding_window_view(padded, span, axis=(1, 2))
        views = views[:, :: self.strides[0], :: self.strides[1], :: self.dilations[0], :: self.dilations[1]]
        views = views[:, : self.p, : self.q]
        grouped = views.reshape(self.groups, self.c // self.groups, self.p, self.q, self.r, self.s)
        return grouped.transpose(0, 2, 3, 1, 4, 5)


class Trace:
    """The operand values of one image at one layer: read-only arrays without a copy, those that the design ``reads``."""

    def __init__(self, values: dict[str, Any], design: str) -> None:
        self._values = values
        self._design = design

    def _get(self, name: str) -> Any:
        if name not in self._values:
            raise UsageError(f'{self._design} asks for the trace {name}: name it in `reads = ("{name}",)`')
        return self._values[name]

    @property
    def activation(self) -> NDArray[np.int32]:
        """Codes ``[c, h, w]``, without padding."""
        codes: NDArray[np.int32] = self._get("activation")
        return codes

    @property
    def output_sums(self) -> NDArray[np.int64]:
        """Exact sums ``[k, p, q]`` before the nonlinearity, bias and residual included."""
        sums: NDArray[np.int64] = self._get("output_sums")
        return sums

    @property
    def bias(self) -> NDArray[np.int64]:
        """What the sums of each channel start from, ``[k]``."""
        bias: NDArray[np.int64] = self._get("bias")
        return bias

    @property
    def residual(self) -> NDArray[np.int64] | None:
        """What each sum starts from beside its bias, ``[k, p, q]``; ``None`` if nothing else."""
        residual: NDArray[np.int64] | None = self._get("residual")
        return residual


@dataclass
class LayerResult:
    """What a design makes of a layer, for one image. All counts are whole numbers of at least 0."""

    cycles: Mapping[str, int]
    """Cycles by phase; their sum is the runtime. Phases are those that the class names."""
    events: Mapping[str, int] = field(default_factory=dict)
    """``executed_macs``, ``skipped_macs``, ``idle_slots``, and the counters that the class names."""
    operations: Sequence[Operation] = ()
    """What was done, in operations that any cost table of operations prices: :func:`multiply_adds` and the like."""
    activity: Sequence[Activity] = ()
    """The same in components of the design's own cost table, if it has one."""
    mapping: Mapping[str, int] = field(default_factory=dict)
    """How the layer was laid out, as named numbers."""
    notes: Sequence[str] = ()
    """Remarks for the reader."""


class Accelerator:
    """An accelerator of one's own.

    A subclass says its ``name`` and ``preset``, and what it makes of a layer in :meth:`simulate_layer`. Everything else has a
    default; ``__init__`` may set the attributes by the settings.
    """

    name: ClassVar[str] = ""
    """Name, in kebab-case; also the prefix of its settings."""
    summary: ClassVar[str] = "an accelerator written in Python"
    """One line."""
    source: ClassVar[str] = "the program that defines it"
    """Authors, title, venue, year."""
    preset: ClassVar[str | dict[str, bool | int | float | str]] = {}
    """The settings and their defaults; or TOML, whose comments give meaning, range and source of each, and are checked."""
    phases: ClassVar[dict[str, str]] = {"compute": "Cycles of work."}
    """Phases of its cycles, with descriptions. The first one is work, others are losses."""
    counters: ClassVar[dict[str, tuple[str, str]]] = {}
    """Its own events, with unit and description."""
    reads: Sequence[str] = ()
    """What it reads of a layer: ``weights``, ``activation``, ``output_sums``, ``bias``, ``residual``; nothing: shapes only."""
    clock_mhz: float = 1000.0
    """Clock."""
    peak_gmacs: float = 0.0
    """Dense peak rate in 10^9 MACs per second; 0 for none."""
    area_mm2: float = 0.0
    """Area; 0 where it is not known."""
    costs: str | None = None
    """Cost table of its own: a name (see ``skimp.list("costs")``) or TOML; ``None`` for the common one."""
    energy_scope: str = "the operations that the model counts"
    """What its energies cover."""
    exploits: Sequence[str] = ()
    """What it saves time or energy on, for readers: ``"zero activations"``."""
    remarks: Sequence[str] = ()
    """What a reader should know of this configuration."""
    idle: str = "extents that do not fill the array"
    """Why slots are idle."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def simulate_layer(self, layer: Layer, trace: Trace) -> LayerResult:
        """Runs one layer for one image."""
        raise NotImplementedError(f"{type(self).__name__} needs simulate_layer(self, layer, trace)")

    def _simulate(self, layer: dict[str, Any], trace: dict[str, Any]) -> LayerResult:
        result = self.simulate_layer(Layer(**layer), Trace(trace, type(self).name))
        if not isinstance(result, LayerResult):
            raise UsageError(f"simulate_layer returns {type(result).__name__}, expected skimp.LayerResult")
        for name in ("cycles", "events", "mapping"):
            values = getattr(result, name)
            if not isinstance(values, Mapping):
                raise UsageError(f"{name} is {type(values).__name__}, expected a dictionary of counts")
            setattr(result, name, dict(values))
        return result


def checked(accelerator: type[Accelerator]) -> type[Accelerator]:
    """The class, if it can be a design."""
    if not (isinstance(accelerator, type) and issubclass(accelerator, Accelerator)):
        raise UsageError(f"{accelerator!r} is no subclass of skimp.Accelerator")
    name = accelerator.name
    if not name or any(not (letter.isalnum() or letter == "-") for letter in name):
        raise UsageError(f'{accelerator.__name__}: name "{name}", expected letters, digits and dashes')
    if not accelerator.phases:
        raise UsageError(f"{name}: no phases")
    return accelerator


def register(accelerator: type[Accelerator]) -> type[Accelerator]:
    """Makes a design known by its name for the rest of the process, instead of an earlier one of the same name; embedded ones
    keep theirs. May be used as a decorator. A class that is given to a call itself need not be registered."""
    _native.register(checked(accelerator))
    return accelerator


Designs = str | type[Accelerator] | Sequence[str | type[Accelerator]] | Mapping[str, str | type[Accelerator]]
"""``"compend"``, ``"a=compend,dadiannao"``, a class, a list of such, or ``{label: name or class}``."""


def named(designs: Designs) -> tuple[list[str], list[type[Accelerator]]]:
    """Designs as the command line has them, and the classes among them."""
    if isinstance(designs, str):
        return [word.strip() for word in designs.split(",") if word.strip()], []
    several: list[tuple[str, str | type[Accelerator]]]
    if isinstance(designs, Mapping):
        several = [(f"{label}=", design) for label, design in designs.items()]
    else:
        several = [("", design) for design in (designs if isinstance(designs, Sequence) else [designs])]
    classes = [checked(design) for _, design in several if not isinstance(design, str)]
    return [label + (design if isinstance(design, str) else design.name) for label, design in several], classes
