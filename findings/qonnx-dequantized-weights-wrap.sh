#!/usr/bin/env bash
# qonnx 1.0.0: QCDQToQuant on weights that are stored as integers with a zero point (a DequantizeLinear of an initializer).
#
# The float weights are worked out as (codes - zero point) * scale, but the difference is taken in the codes' own 8 bits and
# wraps: with the usual uint8 weights about 128 every code below 128 becomes a large positive number, which the Quant node put
# behind it then cuts to the end of its range. All negative weights so become 1.27 at a scale of 0.01. In int8 a zero point
# other than 0 does the same to the far end. Files of onnxruntime's and TensorFlow's uint8 quantizers are such; with a zero
# point of 0 all is well.
#
# Output seen, weights before and after:
#   uint8 about 128, codes 0 100 127 128 255: -1.28 -0.28 -0.01 0 1.27, after 1.27 1.27 1.27 0 1.27
#   int8 about -10, codes -128 -10 0 100 127: -1.18 0 0.1 1.1 1.37, after -1.18 0 0.1 1.1 -1.18
#   int8 about 0, codes -128 -10 0 100 127: -1.28 -0.1 0 1 1.27, after -1.28 -0.1 0 1 1.27
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install qonnx==1.0.0 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - 2> "$folder/warnings" <<'PYTHON' || { cat "$folder/warnings" >&2; exit 1; }
import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.transformation.qcdq_to_qonnx import QCDQToQuant

text = lambda numbers: " ".join(f"{number + 0:g}" for number in numbers.ravel().round(6))
seen = []
for codes, zero in [
    (np.array([0, 100, 127, 128, 255], np.uint8), 128),
    (np.array([-128, -10, 0, 100, 127], np.int8), -10),
    (np.array([-128, -10, 0, 100, 127], np.int8), 0),
]:
    graph = helper.make_graph(
        [helper.make_node("DequantizeLinear", ["w", "s", "z"], ["d"]), helper.make_node("MatMul", ["x", "d"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [5, 1])],
        [
            numpy_helper.from_array(codes.reshape(5, 1), "w"),
            numpy_helper.from_array(np.array(0.01, np.float32), "s"),
            numpy_helper.from_array(np.array(zero, codes.dtype), "z"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model, full_check=True)
    feed = {"x": np.eye(5, dtype=np.float32)}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    before = text(session.run(None, feed)[0])
    after = text(execute_onnx(ModelWrapper(model).transform(InferShapes()).transform(QCDQToQuant()), feed)["y"])
    print(f"{codes.dtype} about {zero}, codes {' '.join(map(str, codes))}: {before}, after {after}")
    seen.append((before, after))
assert seen == [
    ("-1.28 -0.28 -0.01 0 1.27", "1.27 1.27 1.27 0 1.27"),
    ("-1.18 0 0.1 1.1 1.37", "-1.18 0 0.1 1.1 -1.18"),
    ("-1.28 -0.1 0 1 1.27", "-1.28 -0.1 0 1 1.27"),
], seen
PYTHON
