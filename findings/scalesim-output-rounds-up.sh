#!/usr/bin/env bash
# scalesim 3.0.0: output extents of a convolution whose stride does not divide what it walks over.
#
# The extent is worked out as (input - window + stride) / stride rounded up: for an input of 8, a window of 3 and a stride of 2
# that is 4, the last window of which lies partly outside, where ONNX, torch and TensorFlow ("VALID") have 3. The additional row
# and column count as work: 1728 multiply-accumulates rather than 972. With the padding put into the input as the tool wants it,
# ResNet-50's first layer (230 x 230, window 7, stride 2) has 113 x 113 outputs in place of 112 x 112, and since the input of the
# next layer is written by hand, nothing shows it.
#
# Output seen:
#   8 x 8, window 3, stride 2: 4 x 4 outputs, 1728 multiply-accumulates (exact 3 x 3, 972)
#   7 x 7, window 3, stride 2: 3 x 3 outputs, 972 multiply-accumulates (exact 3 x 3, 972)
#   230 x 230, window 7, stride 2: 113 x 113 outputs, 120130752 multiply-accumulates (exact 112 x 112, 118013952)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install scalesim==3.0.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/layers.csv" <<'PYTHON'
import sys

from scalesim.topology_utils import topologies

LAYERS = [(8, 3, 3, 4, 2), (7, 3, 3, 4, 2), (230, 7, 3, 64, 2)]
with open(sys.argv[1], "w") as file:
    file.write("Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n")
    for number, (extent, window, channels, filters, stride) in enumerate(LAYERS):
        file.write(f"layer{number}, {extent}, {extent}, {window}, {window}, {channels}, {filters}, {stride},\n")
network = topologies()
network.load_arrays(sys.argv[1])
for number, (extent, window, channels, filters, stride) in enumerate(LAYERS):
    right = (extent - window) // stride + 1
    exact = right**2 * window**2 * channels * filters
    found, macs = network.get_layer_ofmap_dims(number), network.get_layer_mac_ops(number)
    print(f"{extent} x {extent}, window {window}, stride {stride}: {found[0]} x {found[1]} outputs, {macs} multiply-accumulates "
          f"(exact {right} x {right}, {exact})")
    seen = [4, 3, 113][number]
    assert list(found) == [seen, seen] and macs == seen**2 * window**2 * channels * filters, (found, macs)
    assert right == [3, 3, 112][number], right
PYTHON
