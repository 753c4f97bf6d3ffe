#!/usr/bin/env bash
# openvino 2026.4.1, CPU: an ONNX Resize with keep_aspect_ratio_policy or exclude_outside.
#
# Both attributes are read over in silence: with the policy "not_larger" and sizes of 7 x 8 a picture of 2 x 2 becomes 7 x 8,
# where ONNX keeps the ratio and gives 7 x 7 (and 8 x 8 for "not_smaller"); with exclude_outside=1 the cubic weights of places
# outside of the picture are not taken out. onnx's reference heeds both. The same is known of antialias
# (openvino#35893, open).
#
# Output seen:
#   not_larger, 2 x 2 to 7 x 8: openvino 7 x 8, ONNX 7 x 7
#   not_smaller, 2 x 2 to 7 x 8: openvino 7 x 8, ONNX 8 x 8
#   cubic, first element with exclude_outside 0: openvino 0.648, ONNX 0.648
#   cubic, first element with exclude_outside 1: openvino 0.648, ONNX 0.559
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


def run(x, constant, **attributes):
    inputs = ["x", "", "", "sizes"] if constant.name == "sizes" else ["x", "", "scales"]
    node = helper.make_node("Resize", inputs, ["y"], **attributes)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    reference = ReferenceEvaluator(model).run(None, {"x": x})[0]
    compiled = core.compile_model(core.read_model(io.BytesIO(model.SerializeToString())), "CPU")
    return np.array(compiled({"x": x})[0]), reference


x = np.arange(1, 5, dtype=np.float32).reshape(1, 1, 2, 2)
sizes = helper.make_tensor("sizes", TensorProto.INT64, [2], [7, 8])
for policy, expected in [("not_larger", (7, 7)), ("not_smaller", (8, 8))]:
    found, reference = run(x, sizes, mode="nearest", axes=[2, 3], keep_aspect_ratio_policy=policy)
    by = lambda array: " x ".join(str(n) for n in array.shape[2:])
    print(f"{policy}, 2 x 2 to 7 x 8: openvino {by(found)}, ONNX {by(reference)}")
    assert found.shape[2:] == (7, 8) and reference.shape[2:] == expected, (found.shape, reference.shape)

x = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)
scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 2, 2])
for exclude in [0, 1]:
    found, reference = run(x, scales, mode="cubic", cubic_coeff_a=-0.5, exclude_outside=exclude)
    print(f"cubic, first element with exclude_outside {exclude}: openvino {found.flat[0]:.3f}, ONNX {reference.flat[0]:.3f}")
    assert abs(found.flat[0] - 0.6484375) < 1e-5, found
    assert abs(reference.flat[0] - [0.6484375, 0.5588235][exclude]) < 1e-5, reference
PYTHON
