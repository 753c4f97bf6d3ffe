#!/usr/bin/env bash
# pychop 0.6.2: Chop, with its NumPy back end, of numbers past the end of a format.
#
# With the rounding to nearest what lies past the greatest finite number does not become infinite, nor does it stay at that
# number: up to more than twice of it it becomes 0, and only what is far greater is infinite. In half precision 70000 is 0, and
# 131000 too. In 5 bits of exponent and 2 of fraction there is even a number more than the format has, 65536.
#
# Output seen:
#   half precision: 65504 is 65504, 65536 is 0, 70000 is 0, 131000 is 0, 300000 is inf
#   5 + 2 bits: 57344 is 57344, 63000 is 65536, 70000 is 0, 131000 is 0, 300000 is inf
#   4 + 3 bits: 240 is 240, 252 is 256, 288 is 0, 480 is 0, 1000 is inf
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install pychop==0.6.2 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import ml_dtypes
import numpy as np
import pychop

warnings.simplefilter("ignore")
pychop.backend("numpy")
for name, bits, dtype, numbers, expected in [
    ("half precision", (5, 10), np.float16, [65504, 65536, 70000, 131000, 300000], [65504, 0, 0, 0, np.inf]),
    ("5 + 2 bits", (5, 2), ml_dtypes.float8_e5m2, [57344, 63000, 70000, 131000, 300000], [57344, 65536, 0, 0, np.inf]),
    ("4 + 3 bits", (4, 3), ml_dtypes.float8_e4m3, [240, 252, 288, 480, 1000], [240, 256, 0, 0, np.inf]),
]:
    x = np.array(numbers, np.float64)
    found = np.asarray(pychop.Chop(exp_bits=bits[0], sig_bits=bits[1], rmode=1)(x))
    print(f"{name}:", ", ".join(f"{a:g} is {b:g}" if np.isinf(b) else f"{a:g} is {int(b)}".replace("e+05", "00000")
                                for a, b in zip(x, found)))
    assert found.tolist() == expected, found
    assert x.astype(dtype).astype(np.float64).tolist() == expected[:1] + [np.inf] * 4
PYTHON
