#!/usr/bin/env bash
# onnxruntime 1.32.0: percentile calibration of a constant tensor gives a range that ends below where it begins.
#
# The upper bound is the lower edge of the histogram bin in which the percentile falls. For a tensor of 0.5 throughout (a
# constant bias plane, a saturated gate) the range is 0.5 to 0.4921875 with 128 bins: maximum below minimum, and the only
# value lies outside. No percentile short of 100 keeps the largest value of a tensor, however often it occurs: of 0 and 1
# in halves, 99.999 % gives 0 to 0.984375. Negative values are not cut: of -0.5 throughout, -0.5 to -0.5.
#
# Output seen:
#   0.5 throughout: 0.5 to 0.4921875
#   0 and 1 in halves: 0.0 to 0.984375
#   -0.5 throughout: -0.5 to -0.5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import contextlib
import io

import numpy as np
from onnxruntime.quantization.calibrate import HistogramCollector


def calibrated(elements):
    with contextlib.redirect_stdout(io.StringIO()):
        collector = HistogramCollector(
            method="percentile", symmetric=False, num_bins=128, num_quantized_bins=128, percentile=99.999, scenario="same"
        )
        collector.collect({"t": [np.asarray(elements, np.float32)]})
        result = collector.compute_collection_result()["t"]
    return [float(np.ravel(bound)[0]) for bound in result[:2]]


for name, elements, expected in [
    ("0.5 throughout", np.full(100, 0.5), [0.5, 0.4921875]),
    ("0 and 1 in halves", np.repeat([0.0, 1.0], 50), [0.0, 0.984375]),
    ("-0.5 throughout", np.full(100, -0.5), [-0.5, -0.5]),
]:
    found = calibrated(elements)
    print(f"{name}: {found[0]} to {found[1]}")
    assert found == expected, (found, expected)
PYTHON
