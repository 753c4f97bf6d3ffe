#!/usr/bin/env bash
# onnx 1.23.2, onnxruntime 1.32.0 and openvino 2026.4.1: Cast of a float to INT4.
#
# ONNX's page on 4-bit integers has the number rounded to the nearest integer, ties to even. onnx's own reference evaluator cuts
# the fraction off, as it does for 8 bits, so that 0.9 becomes 0; onnxruntime and openvino round, but ties away from zero
# (openvino#38158, open). The node tests of onnx, which have nothing but whole numbers here, pass in all three. UINT4 is the same.
# QuantizeLinear to the same type rounds ties to even everywhere.
#
# Output seen, for -2.5 -1.8 0.9 1.5 2.5 3.5:
#   the page: -2 -2 1 2 2 4
#   onnx: -2 -1 0 1 2 3
#   onnxruntime: -3 -2 1 2 3 4
#   openvino: -3 -2 1 2 3 4
#   onnx, QuantizeLinear: -2 -2 1 2 2 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, checker, helper
from onnx.reference import ReferenceEvaluator

NUMBERS = np.array([-2.5, -1.8, 0.9, 1.5, 2.5, 3.5], np.float32)
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [6])


def model(*nodes, initializers=()):
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    checker.check_model(model, full_check=True)
    return model


cast = model(
    helper.make_node("Cast", ["x"], ["q"], to=TensorProto.INT4), helper.make_node("Cast", ["q"], ["y"], to=TensorProto.FLOAT)
)
quantize = model(
    helper.make_node("QuantizeLinear", ["x", "s"], ["q"], output_dtype=TensorProto.INT4),
    helper.make_node("DequantizeLinear", ["q", "s"], ["y"]),
    initializers=[helper.make_tensor("s", TensorProto.FLOAT, [], [1.0])],
)
session = onnxruntime.InferenceSession(cast.SerializeToString(), providers=["CPUExecutionProvider"])
core = openvino.Core()
compiled = core.compile_model(core.read_model(io.BytesIO(cast.SerializeToString())), "CPU")
seen = {
    "the page": np.rint(NUMBERS),
    "onnx": ReferenceEvaluator(cast).run(None, {"x": NUMBERS})[0],
    "onnxruntime": session.run(None, {"x": NUMBERS})[0],
    "openvino": compiled({"x": NUMBERS})[0],
    "onnx, QuantizeLinear": ReferenceEvaluator(quantize).run(None, {"x": NUMBERS})[0],
}
seen = {what: " ".join(f"{number:g}" for number in numbers) for what, numbers in seen.items()}
for what, numbers in seen.items():
    print(f"{what}: {numbers}")
assert seen == {
    "the page": "-2 -2 1 2 2 4",
    "onnx": "-2 -1 0 1 2 3",
    "onnxruntime": "-3 -2 1 2 3 4",
    "openvino": "-3 -2 1 2 3 4",
    "onnx, QuantizeLinear": "-2 -2 1 2 2 4",
}, seen
PYTHON
