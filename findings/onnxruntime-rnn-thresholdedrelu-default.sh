#!/usr/bin/env bash
# onnxruntime 1.32.0: RNN, GRU and LSTM with the activation ThresholdedRelu and no activation_alpha.
#
# ONNX's text of these operators: "Default values are the same as of corresponding ONNX operators", and the operator
# ThresholdedRelu has alpha = 1.0 by default. onnxruntime keeps the defaults of LeakyRelu (0.01), Elu and HardSigmoid inside
# recurrent operators, but ThresholdedRelu gets 0 there, so that it is a plain Relu. The operator on its own has 1.0.
#
# Output seen, for 0.5, -2, 1.5 through weights of 1 and no recurrence:
#   recurrent, no alpha: 0.5 0.0 1.5
#   recurrent, alpha 1: 0.0 0.0 1.5
#   operator, no alpha: 0.0 0.0 1.5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper


def run(op, inputs, **attributes):
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    one = [helper.make_tensor(name, TensorProto.FLOAT, [1, 1, 1], [1.0 * (name == "W")]) for name in inputs[1:]]
    node = helper.make_node(op, inputs, ["y"], **attributes)
    graph = helper.make_graph([node], "g", [value("x", [1, 3, 1])], [value("y", None)], one)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    x = np.array([0.5, -2, 1.5], np.float32).reshape(1, 3, 1)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0].ravel()


gate = {"hidden_size": 1, "activations": ["ThresholdedRelu"]}
plain = run("RNN", ["x", "W", "R"], **gate)
given = run("RNN", ["x", "W", "R"], activation_alpha=[1.0], **gate)
operator = run("ThresholdedRelu", ["x"])
print("recurrent, no alpha:", *plain)
print("recurrent, alpha 1:", *given)
print("operator, no alpha:", *operator)
assert plain.tolist() == [0.5, 0, 1.5], plain
assert given.tolist() == operator.tolist() == [0, 0, 1.5], (given, operator)
PYTHON
