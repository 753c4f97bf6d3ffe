#!/usr/bin/env bash
# onnxruntime 1.32.0, CPU: Sigmoid of numbers far below 0.
#
# The function is approximated with an absolute error of some 1e-7, in steps of 2^-25, and not monotonically: the value at -17
# is greater than the one at -16, and from -18 on it is 0, although sigmoid(-18) = 1.5e-8 is far from the smallest f32.
# Swish (x * sigmoid(x)) inherits it. Softplus and Exp are accurate there. So the scores of a detector that sees nothing
# (PP-OCRv4's text map of a plain picture, all below 1e-6) differ from a correctly rounded run by a third of the largest, and
# a logarithm of such a score is -inf.
#
# Output seen:
#   Sigmoid -18 -17 -16 -14: 0.0 8.940697e-08 5.9604645e-08 7.748604e-07
#   exact: 1.5229979e-08 4.1399375e-08 1.1253516e-07 8.3152804e-07
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

x = np.array([-18, -17, -16, -14], np.float32)
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [None])
node = helper.make_node("Sigmoid", ["x"], ["y"])
model = helper.make_model(helper.make_graph([node], "g", [value("x")], [value("y")]),
                          opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
exact = (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float32)
print("Sigmoid -18 -17 -16 -14:", *found)
print("exact:", *exact)
assert found[0] == 0 and exact[0] > 1e-8, found
assert found[1] > found[2], "not monotone"
assert np.abs(found - exact).max() < 1e-7, found
PYTHON
