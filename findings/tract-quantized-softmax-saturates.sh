#!/usr/bin/env bash
# tract 0.23.9: a Softmax (or LogSoftmax) between quantized tensors, in QDQ form.
#
# With a DequantizeLinear before it and a QuantizeLinear behind it tract runs the node on integers, and every element of the
# result is the greatest code: four classes of 0.03 to 0.64 become four of 0.996. With only one of the two it is right, and so
# are Sigmoid and sums in the same place. Scale, zero point, type and axis make no difference. That quantize_static of
# onnxruntime writes just this around every Softmax, attention's among them, leaves the argmax to chance.
#
# Output seen, Softmax of 0 1 2 3:
#   quantized in and out, uint8: onnxruntime 0.031 0.086 0.238 0.645, tract 0.996 0.996 0.996 0.996
#   quantized in and out, int8: onnxruntime 0.031 0.086 0.238 0.645, tract 0.996 0.996 0.996 0.996
#   quantized in, uint8: onnxruntime 0.032 0.087 0.237 0.644, tract 0.032 0.087 0.237 0.644
#   quantized out, uint8: onnxruntime 0.031 0.086 0.238 0.645, tract 0.031 0.086 0.238 0.645
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


def run(kind, before, behind):
    low = np.iinfo(kind).min
    parameters = {"s": np.float32(0.1), "z": kind(0), "s1": np.float32(1 / 256), "z1": kind(low)}
    nodes, name = [], "x"
    if before:
        nodes.append(helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]))
        nodes.append(helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]))
        name = "d"
    nodes.append(helper.make_node("Softmax", [name], ["p" if behind else "y"], axis=-1))
    if behind:
        nodes.append(helper.make_node("QuantizeLinear", ["p", "s1", "z1"], ["r"]))
        nodes.append(helper.make_node("DequantizeLinear", ["r", "s1", "z1"], ["y"]))
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4])
    used = {name for node in nodes for name in node.input}
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in parameters.items() if k in used]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    onnx.save(model, FILE)
    x = np.array([[0, 1, 2, 3]], np.float32)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    first = onnxruntime.InferenceSession(FILE, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    other = tract.onnx().load(FILE)
    other.set_input_fact(0, "1,4,f32")
    return first, other.into_model().into_runnable().run([x])[0].to_numpy()


text = lambda numbers: " ".join(f"{number:.3f}" for number in numbers.ravel())
seen = []
for kind, before, behind in [(np.uint8, 1, 1), (np.int8, 1, 1), (np.uint8, 1, 0), (np.uint8, 0, 1)]:
    seen.append(tuple(map(text, run(kind, before, behind))))
    where = "in and out" if before and behind else "in" if before else "out"
    print(f"quantized {where}, {kind.__name__}: onnxruntime {seen[-1][0]}, tract {seen[-1][1]}")
both, only_in = "0.031 0.086 0.238 0.645", "0.032 0.087 0.237 0.644"
ones = "0.996 0.996 0.996 0.996"
assert seen == [(both, ones), (both, ones), (only_in, only_in), (both, both)], seen
PYTHON
