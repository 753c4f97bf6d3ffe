#!/usr/bin/env bash
# onnxoptimizer 0.4.2: two Reshapes in a row, the second of which copies an axis (0 in its shape).
#
# A 0 stands for the extent of the second one's input at that place. The pass eliminate_consecutive_idempotent_ops, one of the
# default ones, takes out the first Reshape, whereupon the 0 copies from the tensor before it: 2 x 3 x 4 by way of 6 x 4 to
# (0, 2, -1) becomes 2 x 2 x 6 in place of 6 x 2 x 2. Where the extents do not divide, the optimized file no longer runs. A
# head split of (0, 0, heads, -1) behind a flattening is such a pair. Without a 0 both shapes agree. That the pass changes
# results is known without the cause (onnx/optimizer#259, open).
#
# Output seen:
#   2 x 3 x 4 to 6 x 4 to (0, 2, -1): 6 x 2 x 2, optimized 2 x 2 x 6
#   2 x 3 x 4 to 4 x 6 to (0, 0): 4 x 6, optimized refused
#   2 x 3 x 4 to 6 x 4 to (6, 2, -1): 6 x 2 x 2, optimized 6 x 2 x 2
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


def shape(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return " x ".join(map(str, session.run(None, {"x": np.zeros((2, 3, 4), np.float32)})[0].shape))
    except Exception:
        return "refused"


seen = []
for first, second, rank in [((6, 4), (0, 2, -1), 3), ((4, 6), (0, 0), 2), ((6, 4), (6, 2, -1), 3)]:
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "first"], ["a"]), helper.make_node("Reshape", ["a", "second"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        [
            helper.make_tensor("first", TensorProto.INT64, [len(first)], first),
            helper.make_tensor("second", TensorProto.INT64, [len(second)], second),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model, full_check=True)
    seen.append((shape(model), shape(onnxoptimizer.optimize(model))))
    print(f"2 x 3 x 4 to {' x '.join(map(str, first))} to {second}: {seen[-1][0]}, optimized {seen[-1][1]}")
assert seen == [("6 x 2 x 2", "2 x 2 x 6"), ("4 x 6", "refused"), ("6 x 2 x 2", "6 x 2 x 2")], seen
PYTHON
