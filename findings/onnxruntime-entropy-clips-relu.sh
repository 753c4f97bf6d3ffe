#!/usr/bin/env bash
# onnxruntime 1.32.0: entropy calibration with 2,048 bins cuts a tensor of zeros and ones to 0..0.125.
#
# A hundred ones among a thousand elements, the others 0, as a ReLU may give: with 2,048 histogram bins and the default 128
# levels the "optimal" range is 0 to 0.125, so that every element other than zero becomes an eighth of itself. With the
# default 128 bins the whole range is kept. 0.2 and 1 at 9 to 1 end at 0.30. A range that
# takes more bins, meant to be finer, loses the tensor's only other value.
#
# Output seen:
#   90 % zeros and 10 % ones, 128 bins: 0.0 to 1.0
#   90 % zeros and 10 % ones, 2048 bins: 0.0 to 0.125
#   90 % 0.2 and 10 % ones, 2048 bins: 0.2 to 0.300781
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


def calibrated(elements, n_bins):
    with contextlib.redirect_stdout(io.StringIO()):
        collector = HistogramCollector(
            method="entropy", symmetric=False, num_bins=n_bins, num_quantized_bins=128, percentile=99.999, scenario="same"
        )
        collector.collect({"t": [elements.astype(np.float32)]})
        result = collector.compute_collection_result()["t"]
    return [round(float(np.ravel(bound)[0]), 6) for bound in result[:2]]


ones = np.repeat([0.0, 1.0], [900, 100])
for name, elements, n_bins, expected in [
    ("90 % zeros and 10 % ones", ones, 128, [0.0, 1.0]),
    ("90 % zeros and 10 % ones", ones, 2048, [0.0, 0.125]),
    ("90 % 0.2 and 10 % ones", np.repeat([0.2, 1.0], [900, 100]), 2048, [0.2, 0.300781]),
]:
    found = calibrated(elements, n_bins)
    print(f"{name}, {n_bins} bins: {found[0]} to {found[1]}")
    assert found == expected, (found, expected)
PYTHON
