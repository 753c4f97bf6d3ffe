#!/usr/bin/env bash
# tract 0.23.9: RNN, GRU and LSTM with direction "reverse", and RNN with activations of its own.
#
# ONNX: with "reverse" the sequence is gone through from its end, and Y has the states at the places of their inputs. tract reads
# over the attribute and runs forward, with no word of it. "bidirectional", the second half of which is the same
# computation, is right, and so is "forward". An RNN's activations are read over, too: Relu, as torch exports it with
# nonlinearity="relu", is computed as the default Tanh.
#
# Output seen, RNN with weights of 1, input 1 0 0:
#   Tanh, forward: onnxruntime 0.762 0.642 0.566, tract 0.762 0.642 0.566
#   Tanh, reverse: onnxruntime 0.762 0 0, tract 0.762 0.642 0.566
#   Tanh, bidirectional: onnxruntime 0.762 0.762 0.642 0 0.566 0, tract 0.762 0.762 0.642 0 0.566 0
#   Relu, forward: onnxruntime 1 1 1, tract 0.762 0.642 0.566
#   GRU, reverse: largest difference above 0.1
#   LSTM, reverse: largest difference above 0.1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install tract==0.23.9 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/net.onnx" <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import tract
from onnx import TensorProto, checker, helper, numpy_helper

FILE = sys.argv[1]


def run(op, direction, **attributes):
    gates, directions = {"RNN": 1, "GRU": 3, "LSTM": 4}[op], 2 if direction == "bidirectional" else 1
    weights = np.ones((directions, gates, 1), np.float32)
    node = helper.make_node(op, ["x", "w", "r"], ["y"], hidden_size=1, direction=direction, **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, directions, 1, 1])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(weights, "r")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    onnx.save(model, FILE)
    x = np.array([1, 0, 0], np.float32).reshape(3, 1, 1)
    first = onnxruntime.InferenceSession(FILE, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    other = tract.onnx().load(FILE)
    other.set_input_fact(0, "3,1,1,f32")
    return first.ravel(), other.into_model().into_runnable().run([x])[0].to_numpy().ravel()


text = lambda numbers: " ".join(f"{number:.3g}" for number in numbers)
seen = []
for activation, direction in [("Tanh", "forward"), ("Tanh", "reverse"), ("Tanh", "bidirectional"), ("Relu", "forward")]:
    activations = [activation] * (2 if direction == "bidirectional" else 1)
    seen.append(tuple(map(text, run("RNN", direction, activations=activations))))
    print(f"{activation}, {direction}: onnxruntime {seen[-1][0]}, tract {seen[-1][1]}")
apart = []
for op in ["GRU", "LSTM"]:
    first, other = run(op, "reverse")
    apart.append(bool(np.abs(first - other).max() > 0.1))
    print(f"{op}, reverse: largest difference {'above' if apart[-1] else 'within'} 0.1")
assert seen == [
    ("0.762 0.642 0.566", "0.762 0.642 0.566"),
    ("0.762 0 0", "0.762 0.642 0.566"),
    ("0.762 0.762 0.642 0 0.566 0", "0.762 0.762 0.642 0 0.566 0"),
    ("1 1 1", "0.762 0.642 0.566"),
], seen
assert apart == [True, True], apart
PYTHON
