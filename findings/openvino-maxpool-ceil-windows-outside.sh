#!/usr/bin/env bash
# openvino 2026.4.1, CPU: an ONNX MaxPool with ceil_mode whose last window would lie outside.
#
# ONNX: windows that would start in the padding on the right do not count; torch does the same. onnx's
# reference gives 1 x 1 for a window of 1 and a stride of 2 over 2 x 2, and 2 x 2 for a window of 1 and a stride
# of 3 over 5 x 5. openvino makes one row and one column more of them, which are full of the lowest finite float, -3.4e38; a
# Relu or a quantization behind it hides that, an average or a sum does not.
#
# Output seen:
#   2 x 2, stride 2: ONNX 1 x 1, openvino 2 x 2, least number -3.4e+38
#   5 x 5, stride 3: ONNX 2 x 2, openvino 3 x 3, least number -3.4e+38
#   5 x 5, stride 2: ONNX 3 x 3, openvino 3 x 3, least number 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install openvino==2026.4.1 onnx==1.23.2 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import openvino
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

core = openvino.Core()


def check(extent, stride, right, seen):
    node = helper.make_node("MaxPool", ["x"], ["y"], ceil_mode=1, kernel_shape=[1, 1], strides=[stride, stride])
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, extent, extent])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, None, None])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    x = np.arange(extent * extent, dtype=np.float32).reshape(1, 1, extent, extent)
    reference = ReferenceEvaluator(model).run(None, {"x": x})[0]
    compiled = core.compile_model(core.read_model(io.BytesIO(model.SerializeToString())), "CPU")
    found = np.array(compiled({"x": x})[0])
    by = lambda array: " x ".join(str(n) for n in array.shape[2:])
    print(f"{extent} x {extent}, stride {stride}: ONNX {by(reference)}, openvino {by(found)}, least number {found.min():.2g}")
    assert reference.shape[2:] == (right, right) and found.shape[2:] == (seen, seen), (reference.shape, found.shape)
    assert (found.min() == np.finfo(np.float32).min) == (seen > right), found
    assert np.array_equal(found[..., :right, :right], reference), found


check(2, 2, 1, 2)
check(5, 3, 2, 3)
check(5, 2, 3, 3)
PYTHON
