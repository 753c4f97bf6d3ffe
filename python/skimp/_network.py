"""Networks, and what is done with them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skimp import _native
from skimp._arrays import as_input
from skimp._native import Arrays
from skimp._options import Presets, Setting, Settings, path, presets, settings, texts
from skimp.accelerator import Designs, named
from skimp.errors import UsageError
from skimp.records import (
    BinarizeRecord,
    ConvertSnnRecord,
    EvaluateRecord,
    InspectRecord,
    PruneRecord,
    QuantizeRecord,
    RecastRecord,
    SimulationRecord,
)

Data = Union[str, Arrays]
"""A data set: ``"sample"``, ``"cifar10:DIR"`` and so on (see :func:`skimp.list`), or :func:`skimp.arrays`."""

Engine = Literal["reference", "cpu", "integer", "binary"]
InputSize = Union[int, str, "tuple[int, int]"]
Split = Literal["test", "train"]


def load(model: str | os.PathLike[str]) -> Network:
    """Opens an ONNX file, a packed one (``.skz``), or an embedded or built-in network by its name.

    Built-in networks have the initial weights of seed 0.
    """
    return Network(_native.Network(os.fspath(model)))


class Network:
    """A network, as :func:`load` opens it. What an engine prepares to run it is kept.

    Keyword arguments have the names and the defaults of the command line's flags; ``None`` is such a default. Work runs
    without the interpreter's lock, and ends at Ctrl-C.
    """

    def __init__(self, native: _native.Network) -> None:
        self._native = native

    @property
    def name(self) -> str:
        """Short name: of the embedded or built-in network, or the file's stem."""
        return self._native.name

    @property
    def path(self) -> Path | None:
        """The file; ``None`` for an embedded or built-in network."""
        return self._native.path

    @property
    def sha256(self) -> str:
        """SHA-256 of the file; of name, settings and seed for a built-in network."""
        return self._native.sha256

    @property
    def is_untrained(self) -> bool:
        """Whether the weights are initial ones, so that answers mean nothing."""
        return self._native.is_untrained

    @property
    def inputs(self) -> dict[str, tuple[np.dtype[Any], tuple[int | str | None, ...]]]:
        """Element type and extents of each input; a name, or ``None``, for an extent that is left open."""
        return {name: (np.dtype(dtype), tuple(extents)) for name, dtype, extents in self._native.inputs}

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs."""
        return self._native.outputs

    def __repr__(self) -> str:
        extents = (f"{name} [{', '.join(map(str, dims))}]" for name, (_, dims) in self.inputs.items())
        return f"<skimp.Network {self.name}: {', '.join(extents)} -> {', '.join(self.outputs)}>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the network as plain ONNX, or with coded weights to a file whose name ends in ``.skz``."""
        self._native.save(os.fspath(path))

    def inspect(self, *, input_size: InputSize | None = None) -> InspectRecord:
        """Layers, shapes, parameters, MACs and activation sizes, of one image (``skimp inspect``)."""
        return InspectRecord(self._native.inspect({"input_size": input_size}))

    def run(
        self,
        inputs: ArrayLike | Mapping[str, ArrayLike],
        *,
        outputs: str | Iterable[str] | None = None,
        engine: Engine = "cpu",
        exact_order: bool = False,
    ) -> Any:
        """Runs the network on an array (batch first), as the network wants it: no preprocessing is done (``skimp run``).

        Several inputs are given as ``{name: array}``. The result is an array, or ``{name: array}`` where there are several
        outputs or ``outputs`` names several.

        With ``exact_order`` the f32 engine adds up every sum in the order of the definition; by default 3x3 convolutions of
        stride 1 take fewer multiplications where that is faster (Winograd).

        Arrays enter by one copy, those of another element type or with strides by one more; results leave without any.
        """
        known = self._native.inputs
        wanted = [name for name, _, _ in known]
        if isinstance(inputs, Mapping):
            given = dict(inputs)
        elif len(known) == 1:
            given = {wanted[0]: inputs}
        else:
            raise UsageError(f"the network has {len(known)} inputs: give them as {{name: array}}, names: {', '.join(wanted)}")
        if set(given) != set(wanted):
            raise UsageError(f"inputs {', '.join(map(repr, given))}, expected: {', '.join(map(repr, wanted))}")
        chosen = self.outputs if outputs is None else texts(outputs)
        for name in chosen:
            if name not in self.outputs:
                there = ", ".join(self.outputs)
                raise UsageError(f'the network has no output "{name}" (there are: {there})')
        arrays = [as_input(given[name], dtype, name) for name, dtype, _ in known]
        found = dict(zip(self.outputs, self._native.run(arrays, {"engine": engine, "exact_order": exact_order}), strict=True))
        if len(chosen) == 1:
            return found[chosen[0]]
        return {name: found[name] for name in chosen}

    def evaluate(
        self,
        *,
        data: Data | None = None,
        split: Split | None = None,
        preprocess: str | None = None,
        input_size: InputSize | None = None,
        seed: int | None = None,
        output_name: str | None = None,
        images: int | None = None,
        engine: Engine | None = None,
        exact_order: bool | None = None,
        weight_bits: int | None = None,
        activation_bits: int | None = None,
        weight_scales: str | None = None,
        calibration: str | None = None,
        calibration_images: int | None = None,
        calibration_split: Split | None = None,
        first_layer: str | None = None,
    ) -> EvaluateRecord:
        """Accuracy on a data set (``skimp eval``)."""
        return EvaluateRecord(self._native.evaluate(given(locals())))

    def simulate(
        self,
        *,
        accelerator: Designs,
        data: Data | None = None,
        split: Split | None = None,
        preprocess: str | None = None,
        input_size: InputSize | None = None,
        seed: int | None = None,
        output_name: str | None = None,
        images: int | None = None,
        accuracy_images: int | None = None,
        chips: int | None = None,
        attribution: bool = False,
        tuning_images: int | None = None,
        tuning_split: Split | None = None,
        judge_by: Literal["labels", "answers"] | None = None,
        weight_bits: int | None = None,
        activation_bits: int | None = None,
        weight_scales: str | None = None,
        calibration: str | None = None,
        calibration_images: int | None = None,
        calibration_split: Split | None = None,
        first_layer: str | None = None,
        costs: str | os.PathLike[str] | None = None,
        allowed_loss_points: float | None = None,
        preset: Presets = (),
        set: Settings = (),
        report: str | os.PathLike[str] | None = None,
        dump: str | os.PathLike[str] | None = None,
        trace: str | os.PathLike[str] | None = None,
    ) -> SimulationRecord:
        """Accelerators on the network and real images (``skimp simulate``).

        ``accelerator`` is ``"compend"``, ``"a=compend,b=compend"``, a class of one's own (:class:`skimp.Accelerator`), a list of
        such, or ``{label: design}``; ``set`` changes settings: ``{"a": {"end": False}}``.
        """
        options = given(locals())
        options["accelerator"], options["designs"] = named(accelerator)
        options["preset"] = presets(preset)
        options["set"] = settings(set)
        options["costs"] = path(costs)
        return SimulationRecord(self._native.simulate(options))

    def quantize(
        self,
        *,
        output: str | os.PathLike[str] | None = None,
        data: Data | None = None,
        split: Split | None = None,
        preprocess: str | None = None,
        input_size: InputSize | None = None,
        seed: int | None = None,
        output_name: str | None = None,
        weight_bits: int | None = None,
        activation_bits: int | None = None,
        activation_scheme: str | None = None,
        weight_scheme: str | None = None,
        weight_scales: str | None = None,
        activation_type: str | None = None,
        calibration: str | None = None,
        calibration_images: int | None = None,
        requantization: str | None = None,
        output_form: str | None = None,
        keep_float: str | Iterable[str] = (),
        layer_weight_bits: Mapping[str, int] | None = None,
        accuracy_images: int | None = None,
    ) -> tuple[Network, QuantizeRecord]:
        """The network in 8 bits or fewer, as plain ONNX (``skimp quantize``), and what each layer loses.

        Without ``output`` the network is in memory only; :meth:`save` writes it. So it is with all that makes networks.
        """
        options = given(locals())
        options |= {"keep_float": texts(keep_float), "layer_weight_bits": [*(layer_weight_bits or {}).items()]}
        network, record = _native.quantize(self._native, options)
        return made(network), QuantizeRecord(record)

    def prune(
        self,
        *,
        method: str,
        target: str,
        output: str | os.PathLike[str] | None = None,
        data: Data | None = None,
        split: Split | None = None,
        preprocess: str | None = None,
        input_size: InputSize | None = None,
        seed: int | None = None,
        output_name: str | None = None,
        scope: Literal["uniform", "global"] | None = None,
        keep: str | Iterable[str] = (),
        round_to: int | None = None,
        inexact: bool = False,
        set: Mapping[str, Setting] | str | Iterable[str] = (),
        batch_norm_images: int | None = None,
        finetune: int | None = None,
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
        latency: int | None = None,
    ) -> tuple[Network, PruneRecord]:
        """Fewer channels, or more zeros (``skimp prune``): ``method="l1", target="channels=0.5"``."""
        options = given(locals())
        options |= {"keep": texts(keep), "augment": texts(augment)}
        options["set"] = settings(set) if isinstance(set, Mapping) else texts(set)
        network, record = _native.prune(self._native, options)
        return made(network), PruneRecord(record)

    def plan_pruning(
        self,
        *,
        method: str,
        target: str,
        data: Data | None = None,
        split: Split | None = None,
        preprocess: str | None = None,
        input_size: InputSize | None = None,
        seed: int | None = None,
        output_name: str | None = None,
        scope: Literal["uniform", "global"] | None = None,
        keep: str | Iterable[str] = (),
        round_to: int | None = None,
        inexact: bool = False,
        set: Mapping[str, Setting] | str | Iterable[str] = (),
    ) -> PruneRecord:
        """What :meth:`prune` would do (``skimp prune --dry-run``)."""
        options = given(locals())
        options |= {"keep": texts(keep), "dry_run": True}
        options["set"] = settings(set) if isinstance(set, Mapping) else texts(set)
        return PruneRecord(_native.prune(self._native, options)[1])

    def blocks(self, *, input_size: InputSize | None = None) -> RecastRecord:
        """Its blocks, numbered, for :meth:`recast`."""
        return RecastRecord(_native.recast(self._native, {"input_size": input_size})[1])

    def recast(
        self,
        *,
        blocks: str | Iterable[int],
        into: str | None = None,
        ratio: float | Iterable[float] = (),
        structure_only: bool = False,
        output: str | os.PathLike[str] | None = None,
        data: Data | None = None,
        split: Split | None = None,
        preprocess: str | None = None,
        input_size: InputSize | None = None,
        seed: int | None = None,
        output_name: str | None = None,
        epochs: int | None = None,
        finetune: int | None = None,
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
    ) -> tuple[Network, RecastRecord]:
        """Blocks of another type that learn what the old ones answered (``skimp recast``): ``blocks="1-3", into="conv"``."""
        options = given(locals())
        options["blocks"] = blocks if isinstance(blocks, str) else ",".join(map(str, blocks))
        options |= {"ratio": [ratio] if isinstance(ratio, (int, float)) else [*ratio], "augment": texts(augment)}
        network, record = _native.recast(self._native, options)
        return made(network), RecastRecord(record)

    def binarize(
        self, *, output: str | os.PathLike[str] | None = None, input_size: InputSize | None = None
    ) -> tuple[Network, BinarizeRecord]:
        """A network that is binary already, packed: one bit a weight (``skimp binarize``)."""
        network, record = _native.binarize(self._native, given(locals()))
        return made(network), BinarizeRecord(record)

    def convert_snn(
        self,
        *,
        output: str | os.PathLike[str] | None = None,
        data: Data | None = None,
        split: Split | None = None,
        preprocess: str | None = None,
        input_size: InputSize | None = None,
        seed: int | None = None,
        output_name: str | None = None,
        steps: int | None = None,
        coding: str | None = None,
        reset: str | None = None,
        delay: int | None = None,
        strict: bool = False,
        initial: float | None = None,
        percentile: float | None = None,
        fraction: float | None = None,
        calibration_images: int | None = None,
        max_pools: str | None = None,
        input_coding: str | None = None,
        input_seed: int | None = None,
        plain: bool = False,
        sweep: Iterable[int] = (),
        accuracy_images: int | None = None,
    ) -> tuple[Network, ConvertSnnRecord]:
        """A network of spikes (``skimp convert-snn``)."""
        options = given(locals())
        options["sweep"] = [*sweep]
        network, record = _native.convert_snn(self._native, options)
        return made(network), ConvertSnnRecord(record)


def given(arguments: dict[str, Any]) -> dict[str, Any]:
    """Those of a call's arguments that say something."""
    return {name: value for name, value in arguments.items() if name != "self" and value is not None}


def made(native: _native.Network | None) -> Network:
    """A network that was made."""
    assert native is not None, "a call that makes a network returns one"
    return Network(native)
