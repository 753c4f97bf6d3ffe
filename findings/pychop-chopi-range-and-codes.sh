#!/usr/bin/env bash
# pychop 0.6.2: Chopi, its integer quantization, with its NumPy back end.
#
# With symmetric=True the scale is half of the span between the least and the greatest number, not the greatest magnitude: of
# 1, 2 and 3 the span is 2, the range -1 to 1, and all three become 0.996. Only where the numbers lie about 0 evenly does
# nothing get cut. Without symmetry the 8 bits are signed but only the codes 0 to 127 are used, so that the steps are twice
# as wide as 256 levels give.
#
# Output seen:
#   symmetric, 1 2 3: codes 127 127 127, read back 0.996 0.996 0.996
#   symmetric, -1 0 3: codes -64 0 127, read back -1.004 0.000 1.992
#   symmetric, -3 0 3: codes -128 0 127, read back -3.012 0.000 2.988
#   not symmetric, 1000 numbers from -1 to 1: 128 codes, 0 to 127
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install pychop==0.6.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import pychop

pychop.backend("numpy")
for numbers, expected in [
    ([1, 2, 3], [0.996, 0.996, 0.996]),
    ([-1, 0, 3], [-1.004, 0, 1.992]),
    ([-3, 0, 3], [-3.012, 0, 2.988]),
]:
    quantizer = pychop.Chopi(bits=8, symmetric=True)
    codes = quantizer.quantize(np.array(numbers, np.float64))
    found = np.asarray(quantizer.dequantize(codes))
    print("symmetric,", *numbers, end=": codes ")
    print(*np.asarray(codes).astype(int), end=", read back ")
    print(*(f"{x:.3f}" for x in found))
    assert np.allclose(found, expected, atol=1e-3), found
codes = np.asarray(pychop.Chopi(bits=8, symmetric=False).quantize(np.linspace(-1, 1, 1000)))
print(f"not symmetric, 1000 numbers from -1 to 1: {len(np.unique(codes))} codes, {int(codes.min())} to {int(codes.max())}")
assert len(np.unique(codes)) == 128 and (codes.min(), codes.max()) == (0, 127), codes
PYTHON
