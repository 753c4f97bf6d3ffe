#!/usr/bin/env bash
# onnxslim 0.1.98: a Conv followed by a Mul with a constant of as many numbers as there are channels.
#
# ONNX broadcasts from the right: four numbers scale the four columns of a picture, four by one its rows, and only four by one
# by one its channels. onnxslim multiplies the weights by any of them, channel by channel, if their count is that of the output
# channels, so that on feature maps as wide (or high) as they have channels a mask of columns becomes a scale of channels. The
# same fold of an Add looks at the axes and leaves columns and rows alone.
#
# Output seen, largest difference before and after:
#   Mul by 4 x 1 x 1: 0, nodes Conv
#   Mul by 4: 3, nodes Conv
#   Mul by 4 x 1: 3, nodes Conv
#   Add of 4: 0, nodes Conv Add
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install onnxslim==0.1.98 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
import onnxslim
from onnx import TensorProto, checker, helper, numpy_helper


def run(model):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.ones((1, 1, 4, 4), np.float32)})[0]


seen = []
for op, shape in [("Mul", (4, 1, 1)), ("Mul", (4,)), ("Mul", (4, 1)), ("Add", (4,))]:
    constant = np.array([1, 2, 3, 4], np.float32).reshape(shape)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node(op, ["c", "k"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 4, 4])],
        [numpy_helper.from_array(np.ones((4, 1, 1, 1), np.float32), "w"), numpy_helper.from_array(constant, "k")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model, full_check=True)
    before = run(model)
    slim = onnxslim.slim(model)
    difference, nodes = float(np.abs(run(slim) - before).max()), [node.op_type for node in slim.graph.node]
    print(f"{op} {'by' if op == 'Mul' else 'of'} {' x '.join(map(str, shape))}: {difference:g}, nodes {' '.join(nodes)}")
    seen.append((difference, nodes))
assert seen == [(0, ["Conv"]), (3, ["Conv"]), (3, ["Conv"]), (0, ["Conv", "Add"])], seen
PYTHON
