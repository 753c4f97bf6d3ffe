"""Blocks of 32 f32 numbers in MX formats: argument 1 holds the blocks, argument 2 gets scales and numbers.

The rules of torchao 0.18.0 (`to_mx`), written out in NumPy with elements converted by ml_dtypes: for each format and each
rule in the order of FORMATS and RULES, the E8M0 codes (u8 each), then the numbers that the blocks mean (f32 each).
"""

import sys

import ml_dtypes
import numpy as np

# Element, exponent of its largest number, mantissa bits, largest number.
FORMATS = [
    (ml_dtypes.float8_e4m3fn, 8, 3, 448.0),
    (ml_dtypes.float8_e5m2, 15, 2, 57344.0),
    (ml_dtypes.float6_e3m2fn, 4, 2, 28.0),
    (ml_dtypes.float6_e2m3fn, 2, 3, 7.5),
    (ml_dtypes.float4_e2m1fn, 2, 1, 6.0),
]
RULES = ["floor", "even", "ceil", "rceil"]


def scale_code(largest, rule, emax, mantissa_bits, element_max):
    """The E8M0 codes of blocks with these largest magnitudes (finite ones)."""
    if rule == "rceil":
        # In f64, where torchao's logarithm in f32 loses the last bits; the instruction of the hardware has them.
        with np.errstate(divide="ignore"):
            exponent = np.ceil(np.log2(largest.astype(np.float64) / element_max))
        return (np.clip(exponent, -127, 127) + 127).astype(np.uint8)
    bits = largest.view(np.int32).astype(np.int64)
    if rule == "even":
        bits = (bits + (1 << (23 - mantissa_bits - 1))) & (0x1FF << 23)
    exponent = ((bits >> 23) & 0xFF) - 127
    if rule == "ceil":
        exponent += (bits & 0x7FFFFF) > 0
    return (np.clip(exponent - emax, -127, 128) + 127).astype(np.uint8)


blocks = np.fromfile(sys.argv[1], dtype="<f4").reshape(-1, 32)
with open(sys.argv[2], "wb") as out, np.errstate(all="ignore"):
    for dtype, emax, mantissa_bits, element_max in FORMATS:
        for rule in RULES:
            codes = scale_code(np.abs(blocks).max(axis=1), rule, emax, mantissa_bits, element_max)
            scales = np.exp2(codes.astype(np.float64) - 127)[:, None]
            scaled = np.clip(blocks / scales, -element_max, element_max).astype(np.float32)
            codes.tofile(out)
            (scaled.astype(dtype).astype(np.float64) * scales).astype("<f4").tofile(out)
