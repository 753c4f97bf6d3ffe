#!/usr/bin/env bash
# openvino 2026.4.1, CPU: a ReduceSum whose input and output are quantized with the very same scale and zero point (QDQ form).
#
# The sum of n codes holds n zero points, so the one that is taken off behind the sum has to be n times as large. openvino writes
# that into the constant itself: where the output's QuantizeLinear and DequantizeLinear name the same initializer, they get the
# larger zero point, too, and the result lies (n - 1) zero points too low, outside of what 8 bits can hold. With a second
# initializer of the same number, as with a zero point of 0, it is right. Quantizers share initializers where ranges agree, and
# tools that drop duplicates, as onnxoptimizer does, make one of two.
#
# Output seen, four ones, scale 0.1:
#   zero point 100, one initializer: ONNX 4, openvino -26
#   zero point 100, two initializers: ONNX 4, openvino 4
#   zero point 0, one initializer: ONNX 4, openvino 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install openvino==2026.4.1 onnx==1.23.2 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import openvino
from onnx import TensorProto, checker, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


def run(zero_point, shared):
    parameters = {"s": np.float32(0.1), "z": np.uint8(zero_point), "axes": np.array([1])}
    parameters |= {} if shared else {"z1": np.uint8(zero_point)}
    behind = "z" if shared else "z1"
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("ReduceSum", ["d", "axes"], ["p"], keepdims=1),
        helper.make_node("QuantizeLinear", ["p", "s", behind], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "s", behind], ["y"]),
    ]
    value = lambda name, size: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])
    initializers = [numpy_helper.from_array(np.asarray(number), name) for name, number in parameters.items()]
    graph = helper.make_graph(nodes, "g", [value("x", 4)], [value("y", 1)], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    checker.check_model(model, full_check=True)
    x = np.ones((1, 4), np.float32)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(io.BytesIO(model.SerializeToString())), "CPU")
    return f"{ReferenceEvaluator(model).run(None, {'x': x})[0].item():g}", f"{compiled({'x': x})[0].item():g}"


seen = []
for zero_point, shared in [(100, True), (100, False), (0, True)]:
    seen.append(run(zero_point, shared))
    count = "one initializer" if shared else "two initializers"
    print(f"zero point {zero_point}, {count}: ONNX {seen[-1][0]}, openvino {seen[-1][1]}")
assert seen == [("4", "-26"), ("4", "4"), ("4", "4")], seen
PYTHON
