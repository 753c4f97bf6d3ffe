#!/usr/bin/env bash
# qonnx 1.0.0: QCDQToQuant on QuantizeLinear, Clip and DequantizeLinear whose Clip is not the range of a number of bits.
#
# A Clip between the two is how QCDQ writes fewer than 8 bits, but it may as well be a range: 0 to 10, or 0 to 6 of a ReLU6 with
# a scale of 1. QCDQToQuant takes the next number of bits that holds as many codes and the sign of the container, and forgets
# the ends: 0 to 10 becomes 0 to 15, -4 to 5 becomes -8 to 7, and 0 to 7 in int8 (the positive half of 4 bits) becomes -4 to
# 3, by which half of the range is cut off and negative numbers appear behind a ReLU. Nothing is said of it.
#
# Output seen, for -9 -5 2 6 12:
#   uint8, Clip 0 to 15: 0 0 2 6 12, after 0 0 2 6 12
#   uint8, Clip 0 to 10: 0 0 2 6 10, after 0 0 2 6 12
#   int8, Clip -4 to 5: -4 -4 2 5 5, after -8 -5 2 6 7
#   int8, Clip 0 to 7: 0 0 2 6 7, after -4 -4 2 3 3
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

text = lambda numbers: " ".join(f"{number + 0:g}" for number in numbers.ravel())
seen = []
for kind, low, high in [(np.uint8, 0, 15), (np.uint8, 0, 10), (np.int8, -4, 5), (np.int8, 0, 7)]:
    parameters = {"s": np.float32(1), "z": kind(0), "low": kind(low), "high": kind(high)}
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 5])
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("Clip", ["q", "low", "high"], ["c"]),
            helper.make_node("DequantizeLinear", ["c", "s", "z"], ["y"]),
        ],
        "g",
        [value("x")],
        [value("y")],
        [numpy_helper.from_array(np.asarray(number), name) for name, number in parameters.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model, full_check=True)
    feed = {"x": np.array([[-9, -5, 2, 6, 12]], np.float32)}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    before = text(session.run(None, feed)[0])
    after = text(execute_onnx(ModelWrapper(model).transform(InferShapes()).transform(QCDQToQuant()), feed)["y"])
    print(f"{kind.__name__}, Clip {low} to {high}: {before}, after {after}")
    seen.append((before, after))
assert seen == [
    ("0 0 2 6 12", "0 0 2 6 12"),
    ("0 0 2 6 10", "0 0 2 6 12"),
    ("-4 -4 2 5 5", "-8 -5 2 6 7"),
    ("0 0 2 6 7", "-4 -4 2 3 3"),
], seen
PYTHON
