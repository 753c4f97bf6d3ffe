"""What can go wrong.

Every error of skimp is a :class:`SkimpError`; there is one class below it for each error of the Rust crates, with the text
that the command line prints. Arguments of a wrong Python type are :class:`TypeError`, as everywhere in Python.
"""


class SkimpError(Exception):
    """Whatever went wrong in skimp."""


class StudyError(SkimpError):
    """A pipeline failed: what is kept of a study is damaged, a file is no topology, and the like."""


class UsageError(SkimpError, ValueError):
    """An argument has a value that it cannot have, or a name is unknown."""


class InputError(SkimpError, ValueError):
    """An array, or a data set, does not fit the network's inputs or answers."""


class FileError(SkimpError, OSError):
    """A file could not be read or written."""


class OutOfMemory(SkimpError, MemoryError):
    """The run needs more memory than it may take (see :func:`skimp.set_memory`)."""


class Interrupted(SkimpError):
    """The run was stopped, and not by a signal that Python knows: that one is a :class:`KeyboardInterrupt`."""


class GraphError(SkimpError):
    """The network is wrong, or wants something that skimp does not support. Names the node."""


class DataError(SkimpError):
    """A data set, a label or a preprocessing is wrong."""


class QuantError(SkimpError):
    """The network cannot be quantized as asked."""


class ReduceError(SkimpError):
    """The network cannot be reduced as asked."""


class TrainError(SkimpError):
    """Training failed, or was asked for something that cannot be."""


class SimError(SkimpError):
    """An accelerator cannot be configured, or cannot run a layer."""


class SweepError(SkimpError):
    """A sweep cannot begin or go on: a key of an axis, its store, its cluster. What goes wrong at one point is a row."""


class NirError(SkimpError):
    """A NIR file, or a network that is to become one, is wrong."""


class ReportError(SkimpError):
    """A record cannot be read or written."""
