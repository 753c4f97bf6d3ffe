#!/usr/bin/env bash
# nir 1.0.8: a convolution with groups, in a graph whose types are checked.
#
# The input channels that nir works out are the second extent of the weights, which are those of one group: a depthwise
# convolution of 4 channels, with weights of 4 x 1 x 3 x 3, is said to take 1 channel. So the right graph is refused as a
# mismatch of types, and the wrong one, of 1 channel, is taken, written and read back. Without input_shape the type is taken
# over from the node before, and the right graph is built and written; but the shape is written, too, and reading the file fails.
#
# Output seen:
#   4 channels, input_shape given: refused
#   1 channel, input_shape given: read back
#   4 channels, no input_shape: written, then refused
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install nir==1.0.8 numpy==2.4.6 h5py==3.16.0
"$folder/venv/bin/python" - "$folder/net.nir" <<'PYTHON'
import sys

import nir
import numpy as np


def outcome(channels, input_shape):
    weight, bias = np.ones((4, 1, 3, 3), np.float32), np.zeros(4, np.float32)
    depthwise = nir.Conv2d(input_shape=input_shape, weight=weight, stride=1, padding=0, dilation=1, groups=4, bias=bias)
    nodes = {
        "input": nir.Input({"input": np.array([channels, 8, 8])}),
        "depthwise": depthwise,
        "output": nir.Output({"output": np.array([4, 6, 6])}),
    }
    state = ""
    try:
        graph = nir.NIRGraph(nodes=nodes, edges=[("input", "depthwise"), ("depthwise", "output")])
        nir.write(sys.argv[1], graph)
        state = "written, then "
        assert int(nir.read(sys.argv[1]).nodes["depthwise"].groups) == 4
    except ValueError as error:
        assert "type mismatch" in str(error), error
        return state + "refused"
    return "read back"


for name, channels, input_shape, expected in [
    ("4 channels, input_shape given", 4, (8, 8), "refused"),
    ("1 channel, input_shape given", 1, (8, 8), "read back"),
    ("4 channels, no input_shape", 4, None, "written, then refused"),
]:
    found = outcome(channels, input_shape)
    print(f"{name}: {found}")
    assert found == expected, (name, found)
PYTHON
