#!/usr/bin/env bash
# onnx 1.23.2, onnxruntime 1.32.0 and openvino 2026.4.1: Softmax, LogSoftmax and Hardmax below operator set 13.
#
# Until 12 the input is laid out as a matrix at the axis, whose default is 1, and each row of that is normalized: of a 1 x 2 x 2
# tensor with axis 1 all four numbers together. From 13 on it is one axis, by default the last one. onnx's own reference
# evaluator has only the new meaning (and the new default), whatever the file says; openvino has the old one up to 10 and the
# new one for the Softmax of 11 and 12 (openvino#37823, closed). onnxruntime and tract do it by the text.
#
# Output seen, for 1 0 0 0 as 1 x 2 x 2:
#   Softmax 9, axis 1: onnxruntime 0.475 0.175 0.175 0.175, onnx 0.731 0.500 0.269 0.500, openvino 0.475 0.175 0.175 0.175
#   Softmax 11, axis 1: onnxruntime 0.475 0.175 0.175 0.175, onnx 0.731 0.500 0.269 0.500, openvino 0.731 0.500 0.269 0.500
#   Softmax 11, no axis: onnxruntime 0.475 0.175 0.175 0.175, onnx 0.731 0.269 0.500 0.500, openvino 0.731 0.500 0.269 0.500
#   Softmax 13, axis 1: onnxruntime 0.731 0.500 0.269 0.500, onnx 0.731 0.500 0.269 0.500, openvino 0.731 0.500 0.269 0.500
#   Hardmax 11, axis 1: onnxruntime 1.000 0.000 0.000 0.000, onnx 1.000 1.000 0.000 0.000, openvino 1.000 0.000 0.000 0.000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.32.0 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, checker, helper
from onnx.reference import ReferenceEvaluator

X = np.array([1, 0, 0, 0], np.float32).reshape(1, 2, 2)
text = lambda numbers: " ".join(f"{number:.3f}" for number in numbers.ravel())


def run(op, opset, **attributes):
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 2])
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"], **attributes)], "g", [value("x")], [value("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6)
    checker.check_model(model, full_check=True)
    core = openvino.Core()
    file = model.SerializeToString()
    results = [
        onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"x": X})[0],
        ReferenceEvaluator(model).run(None, {"x": X})[0],
        core.compile_model(core.read_model(io.BytesIO(file)), "CPU")({"x": X})[0],
    ]
    found = tuple(map(text, results))
    axis = f"axis {attributes['axis']}" if attributes else "no axis"
    print(f"{op} {opset}, {axis}: onnxruntime {found[0]}, onnx {found[1]}, openvino {found[2]}")
    return found


seen = [
    run("Softmax", 9, axis=1),
    run("Softmax", 11, axis=1),
    run("Softmax", 11),
    run("Softmax", 13, axis=1),
    run("Hardmax", 11, axis=1),
]
rows, axis, last = "0.475 0.175 0.175 0.175", "0.731 0.500 0.269 0.500", "0.731 0.269 0.500 0.500"
one = "1.000 0.000 0.000 0.000"
assert seen == [
    (rows, axis, rows),
    (rows, axis, axis),
    (rows, last, axis),
    (axis, axis, axis),
    (one, "1.000 1.000 0.000 0.000", one),
], seen
PYTHON
