#!/usr/bin/env bash
# zigzag-dse 3.9.1: an ONNX Conv whose window, stride or padding differs between height and width.
#
# The output's extents are read as height and width, but the first of kernel_shape, strides and dilations, which is of the
# height, goes to x, and of pads the pair of the height, too. The multiply-accumulates stay right, for they are a product; the
# inputs do not. A 1 x 3 window over 8 rows of 32 takes them all, 256 elements, yet 240 are priced (a 3 x 1 window: 192 for
# 256), and with a stride of 1 x 2 over 9 x 9 it is 54 for 81. Traffic, energy and the tiles that fit are those of another
# layer. Networks for sound and keywords (10 x 4 windows) and factorized 1 x 7 and 7 x 1 ones are such.
#
# Output seen:
#   8 x 32, window 1 x 3, stride 1 x 1: FX 1, FY 3, 240 input elements of 256
#   8 x 32, window 3 x 1, stride 1 x 1: FX 3, FY 1, 192 input elements of 256
#   9 x 9, window 3 x 3, stride 1 x 2: FX 3, FY 3, 54 input elements of 81
#   9 x 9, window 3 x 3, stride 1 x 1: FX 3, FY 3, 81 input elements of 81
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# six is imported, but not among what the package asks for.
"$folder/venv/bin/pip" -q install zigzag-dse==3.9.1 onnx==1.23.2 numpy==2.4.6 six==1.17.0
cat > "$folder/mapping.yaml" <<'YAML'
- name: default
  spatial_mapping:
    D1:
      - K, 1
  memory_operand_links:
    O: O
    W: I2
    I: I1
YAML
"$folder/venv/bin/python" - "$folder/mapping.yaml" <<'PYTHON'
import sys

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper
from zigzag.parser.onnx.onnx_model_parser import ONNXModelParser

seen = []
for extents, window, stride in [
    ((8, 32), (1, 3), (1, 1)),
    ((8, 32), (3, 1), (1, 1)),
    ((9, 9), (3, 3), (1, 2)),
    ((9, 9), (3, 3), (1, 1)),
]:
    outputs = [(extent - size) // step + 1 for extent, size, step in zip(extents, window, stride)]
    # Each row and column is met by some window, as (outputs - 1) * stride + window is the extent.
    assert all((out - 1) * step + size == extent for out, step, size, extent in zip(outputs, stride, window, extents))
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="conv", kernel_shape=window, strides=stride)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, *extents])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, *outputs])],
        [numpy_helper.from_array(np.ones((1, 1, *window), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    (layer,) = ONNXModelParser(model, sys.argv[1]).run().nodes()
    sizes = {str(name): size for name, size in layer.layer_dim_sizes.items()}
    elements = {str(name): size for name, size in layer.operand_size_elem.items()}["I"]
    by = lambda pair: f"{pair[0]} x {pair[1]}"
    exact = extents[0] * extents[1]
    print(
        f"{by(extents)}, window {by(window)}, stride {by(stride)}: FX {sizes['FX']}, FY {sizes['FY']},"
        f" {elements} input elements of {exact}"
    )
    seen.append((sizes["FX"], sizes["FY"], elements, exact))
assert seen == [(1, 3, 240, 256), (3, 1, 192, 256), (3, 3, 54, 81), (3, 3, 81, 81)], seen
PYTHON
