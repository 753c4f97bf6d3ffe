#!/usr/bin/env bash
# openvino 2026.4.1, CPU: an AveragePool that counts its padding, of a tensor quantized with a zero point (QDQ form).
#
# With count_include_pad = 1 the places outside are zeros. In openvino the pooling runs on the codes, and the places outside get
# code 0, which stands for -scale * zero point: at the border of a tensor with the zero point 100 and a scale of 0.1 each padded
# place is -10. (Means of 1 come out as -5.1, which uint8 from 0 on then clips to 0.) With the zero point 0, without padding
# counted, and in float it is right. torch counts padding by default, so its exported pools do.
#
# Output seen, 3 x 3 ones, window 3 x 3, padding 1, corner, edge and middle:
#   zero point 0, padding counted: ONNX 0.4 0.7 1.0, openvino 0.4 0.7 1.0
#   zero point 100, padding counted: ONNX 0.4 0.7 1.0, openvino -5.1 -2.7 1.0
#   zero point 100, padding not counted: ONNX 1.0 1.0 1.0, openvino 1.0 1.0 1.0
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


def run(zero_point, counted):
    parameters = {"s": np.float32(0.1), "z": np.uint8(zero_point), "s1": np.float32(0.1), "z1": np.uint8(100)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("AveragePool", ["d"], ["p"], kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=counted),
        helper.make_node("QuantizeLinear", ["p", "s1", "z1"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "s1", "z1"], ["y"]),
    ]
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 3, 3])
    initializers = [numpy_helper.from_array(np.asarray(number), name) for name, number in parameters.items()]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    checker.check_model(model, full_check=True)
    x = np.ones((1, 1, 3, 3), np.float32)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(io.BytesIO(model.SerializeToString())), "CPU")
    return ReferenceEvaluator(model).run(None, {"x": x})[0], compiled({"x": x})[0]


text = lambda numbers: " ".join(f"{number:.1f}" for number in numbers.ravel()[[0, 1, 4]])
seen = []
for zero_point, counted in [(0, 1), (100, 1), (100, 0)]:
    seen.append(tuple(map(text, run(zero_point, counted))))
    print(f"zero point {zero_point}, padding {'' if counted else 'not '}counted: ONNX {seen[-1][0]}, openvino {seen[-1][1]}")
assert seen == [
    ("0.4 0.7 1.0", "0.4 0.7 1.0"),
    ("0.4 0.7 1.0", "-5.1 -2.7 1.0"),
    ("1.0 1.0 1.0", "1.0 1.0 1.0"),
], seen
PYTHON
