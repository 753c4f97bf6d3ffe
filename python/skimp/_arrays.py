"""NumPy arrays on their way to a network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skimp._native import Arrays
from skimp.errors import InputError


def as_input(given: ArrayLike, dtype: str, name: str) -> NDArray[Any]:
    """An array for an input of element type ``dtype``, contiguous.

    Numbers are rounded to a floating-point input, as the command line does; an input of any other type takes its own values
    only.
    """
    array = np.asarray(given)
    wanted = np.dtype(dtype)
    if array.dtype != wanted:
        if array.dtype.kind not in "fiub" or (wanted.kind != "f" and array.dtype.kind == "f"):
            raise InputError(f'input "{name}": an array of {array.dtype}, expected {wanted}')
        cast = array.astype(wanted)
        if wanted.kind != "f" and not np.array_equal(cast, array):
            raise InputError(f'input "{name}": an array of {array.dtype} holds values beyond {wanted}')
        array = cast
    return array if array.flags.c_contiguous else array.copy(order="C")


def arrays(images: NDArray[Any], labels: ArrayLike) -> Arrays:
    """A data set of arrays, for any ``data=``: images ``[n, c, h, w]`` of ``uint8`` or ``float32``, and the class of each.

    Contiguous images are read where they lie, without a copy: do not change them while the data set is in use. Others are
    copied once. The preprocessing is ``raw`` (pixels as they are) unless the network names another one or
    ``preprocess=`` is given. Both splits are these images.
    """
    pixels = np.asarray(images)
    if pixels.ndim != 4:
        raise InputError(f"images: an array of shape {list(pixels.shape)}, expected [n, c, h, w]")
    if pixels.dtype not in (np.dtype(np.uint8), np.dtype(np.float32)):
        raise InputError(f"images: an array of {pixels.dtype}, expected uint8 or float32; convert it with .astype()")
    classes = np.asarray(labels)
    if classes.ndim != 1 or classes.dtype.kind not in "iu":
        raise InputError(f"labels: an array of {classes.dtype} and shape {list(classes.shape)}, expected integers [n]")
    if classes.size and classes.min() < 0:
        raise InputError(f"labels: {classes.min()}, expected classes from 0 on")
    if not pixels.flags.c_contiguous:
        pixels = pixels.copy(order="C")
    return Arrays(pixels, classes.tolist())
