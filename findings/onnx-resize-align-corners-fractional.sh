#!/usr/bin/env bash
# onnx 1.23.2 and onnxruntime 1.32.0: Resize with align_corners and a scale that gives a fractional extent.
#
# ONNX's text: x_original = x_resized * (length_original - 1) / (length_resized - 1), length_resized being the length of the
# resized tensor. onnxruntime computes that, so that the last element falls on the last one. onnx's reference evaluator (and
# with it the node tests that it generates) takes the fractional product of scale and extent: four elements by 0.6 are two
# elements, of which the second one stands for 1 * 3 / (2.4 - 1) = 2.14, not for 3.
#
# Output seen, for 1 2 3 4 by a scale of 0.6:
#   onnxruntime 1.32.0: 1 4
#   onnx 1.23.2 reference evaluator: 1 3.142857
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear",
                        coordinate_transformation_mode="align_corners")
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None, None, None])
scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 1, 0.6])
graph = helper.make_graph([node], "resize", [value("x")], [value("y")], [scales])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
x = np.array([1, 2, 3, 4], np.float32).reshape(1, 1, 1, 4)
runtime = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0].ravel()
reference = ReferenceEvaluator(model).run(None, {"x": x})[0].ravel()
print("onnxruntime:", *runtime)
print("reference evaluator:", *reference)
assert np.allclose(runtime, [1, 4]), runtime
assert np.allclose(reference, [1, 22 / 7]), reference
PYTHON
