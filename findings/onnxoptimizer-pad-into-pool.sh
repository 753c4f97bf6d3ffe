#!/usr/bin/env bash
# onnxoptimizer 0.4.2: a Pad of zeros in front of a pooling (pass fuse_pad_into_pool, one of the default ones).
#
# The zeros become padding of the pooling itself. A MaxPool's own padding never wins, so that the border of a tensor below zero is
# its greatest number and no longer 0 (onnx/optimizer#318, open). An AveragePool gets count_include_pad = 1 for the sake of
# the zeros, and if it had padding of its own that did not count, that counts now, too: a corner of ones is 4 of 25 in place of
# 4 of 16 places. Besides, two Squeezes in a row whose axes count from the end become one with the same numbers
# (fuse_consecutive_squeezes): the file no longer loads.
#
# Output seen, the corner of 4 x 4:
#   Pad, MaxPool of -1: 0, optimized -1
#   Pad, AveragePool of 1: 0.444, optimized 0.444
#   Pad, AveragePool of 1 with padding: 0.25, optimized 0.111
#   Squeeze -2, Squeeze -3: 1 x 2 x 3, optimized refused
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install onnxoptimizer==0.4.2 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxoptimizer
import onnxruntime
from onnx import TensorProto, checker, helper


def run(model, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, {"x": x})[0]
    except Exception:
        return None


def compare(what, nodes, x, shape, show, **integers):
    value = lambda name, extents: helper.make_tensor_value_info(name, TensorProto.FLOAT, extents)
    initializers = [helper.make_tensor(name, TensorProto.INT64, [len(n)], n) for name, n in integers.items()]
    graph = helper.make_graph(nodes, "g", [value("x", x.shape)], [value("y", shape)], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    before, after = run(model, x), run(onnxoptimizer.optimize(model), x)
    seen.append((show(before), "refused" if after is None else show(after)))
    print(f"{what}: {seen[-1][0]}, optimized {seen[-1][1]}")


seen = []
ones = np.ones((1, 1, 4, 4), np.float32)
pad = helper.make_node("Pad", ["x", "pads"], ["p"])
pads = [0, 0, 1, 1, 0, 0, 1, 1]
corner = lambda y: f"{y[0, 0, 0, 0]:.3g}"
pool = lambda op, **more: [pad, helper.make_node(op, ["p"], ["y"], kernel_shape=[3, 3], **more)]
compare("Pad, MaxPool of -1", pool("MaxPool"), -ones, (1, 1, 4, 4), corner, pads=pads)
compare("Pad, AveragePool of 1", pool("AveragePool"), ones, (1, 1, 4, 4), corner, pads=pads)
padded = pool("AveragePool", pads=[1] * 4)
compare("Pad, AveragePool of 1 with padding", padded, ones, (1, 1, 6, 6), corner, pads=pads)
squeezes = [helper.make_node("Squeeze", ["x", "a"], ["p"]), helper.make_node("Squeeze", ["p", "b"], ["y"])]
shape = lambda y: " x ".join(map(str, y.shape))
x = np.zeros((1, 1, 2, 1, 3), np.float32)
compare("Squeeze -2, Squeeze -3", squeezes, x, (1, 2, 3), shape, a=[-2], b=[-3])
assert seen == [("0", "-1"), ("0.444", "0.444"), ("0.25", "0.111"), ("1 x 2 x 3", "refused")], seen
PYTHON
