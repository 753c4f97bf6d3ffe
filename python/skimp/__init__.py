"""See what a neural network could save, bit by bit, and what it costs in accuracy.

>>> import skimp
>>> network = skimp.load("sample-resnet")
>>> record = network.simulate(accelerator="compend,dadiannao", data="sample", images=1)
>>> [round(design.total.energy_mj, 4) for design in record.accelerators]  # doctest: +SKIP

Everything that the command line does has a call here, with the same names and defaults; notes go to the logger ``skimp``.
"""

from __future__ import annotations

from skimp import _native, accelerator, errors, records
from skimp._arrays import arrays
from skimp._commands import data, distill, report, show, study, support, train
from skimp._native import Arrays
from skimp._network import Network, load
from skimp._record import Part, Record
from skimp._sweep import Row, Sweep, export_sweep, merge_sweeps, sweep
from skimp.accelerator import Accelerator, Layer, LayerResult, Trace, register
from skimp.errors import SkimpError
from skimp.records import ListRecord, SettingsRecord

__version__ = _native.VERSION

__all__ = [
    "Accelerator",
    "Arrays",
    "Layer",
    "LayerResult",
    "Network",
    "Part",
    "Record",
    "Row",
    "SkimpError",
    "Sweep",
    "Trace",
    "accelerator",
    "arrays",
    "data",
    "distill",
    "errors",
    "export_sweep",
    "list",
    "load",
    "merge_sweeps",
    "records",
    "register",
    "report",
    "set_memory",
    "set_threads",
    "settings",
    "show",
    "study",
    "support",
    "sweep",
    "train",
]


def list(what: str) -> ListRecord:
    """What is registered (``skimp list``): ``"accelerators"``, ``"datasets"``, ``"networks"`` and so on."""
    return ListRecord(_native.listed(what, None))


def settings(accelerator: str) -> SettingsRecord:
    """The settings of an accelerator, with units, defaults, ranges, meanings and sources (``skimp list settings``)."""
    return SettingsRecord(_native.listed("settings", accelerator))


def set_threads(n: int) -> None:
    """Threads for all that runs in parallel in this process; results do not depend on it. Once, before the first run."""
    _native.set_threads(n)


def set_memory(size: str) -> None:
    """Memory that a run may take, such as ``"8GiB"``: more is an error, not a crash."""
    _native.set_memory(size)
