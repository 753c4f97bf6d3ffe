"""Codes of f32 numbers in the formats of numpy and ml_dtypes: argument 1 holds the numbers, argument 2 gets the codes.

The output holds, for each format in the order of FORMATS, one little-endian u16 a number.
"""

import sys

import ml_dtypes
import numpy as np

FORMATS = [
    np.float16,
    ml_dtypes.bfloat16,
    ml_dtypes.float8_e4m3fn,
    ml_dtypes.float8_e5m2,
    ml_dtypes.float8_e4m3fnuz,
    ml_dtypes.float8_e5m2fnuz,
    ml_dtypes.float6_e3m2fn,
    ml_dtypes.float6_e2m3fn,
    ml_dtypes.float4_e2m1fn,
]

numbers = np.fromfile(sys.argv[1], dtype="<f4")
with open(sys.argv[2], "wb") as out, np.errstate(all="ignore"):
    for dtype in map(np.dtype, FORMATS):
        codes = numbers.astype(dtype).view(np.uint8 if dtype.itemsize == 1 else np.uint16)
        codes.astype("<u2").tofile(out)
