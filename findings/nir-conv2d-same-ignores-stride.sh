#!/usr/bin/env bash
# nir 1.0.8: Conv2d with padding "same" and a stride.
#
# The output type that nir works out, which nodes behind it are checked against, is the input's whatever the stride is: 8 x 8
# for an input of 8 x 8 and a stride of 2, where the same convolution with its padding written as numbers has 4 x 4. (torch
# refuses padding "same" with a stride, ONNX's SAME_UPPER and TensorFlow divide by it.)
#
# Output seen:
#   padding "same", stride 2: 8 x 8
#   padding 1, stride 2: 4 x 4
#   padding "same", stride 1: 8 x 8
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install nir==1.0.8 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import nir
import numpy as np


def extents(padding, stride):
    weight, bias = np.ones((1, 1, 3, 3), np.float32), np.zeros(1, np.float32)
    conv = nir.Conv2d(
        input_shape=(8, 8), weight=weight, stride=stride, padding=padding, dilation=1, groups=1, bias=bias
    )
    return [int(extent) for extent in conv.output_type["output"][1:]]


seen = [extents("same", 2), extents(1, 2), extents("same", 1)]
for what, (height, width) in zip(['padding "same", stride 2', "padding 1, stride 2", 'padding "same", stride 1'], seen):
    print(f"{what}: {height} x {width}")
assert seen == [[8, 8], [4, 4], [8, 8]], seen
PYTHON
