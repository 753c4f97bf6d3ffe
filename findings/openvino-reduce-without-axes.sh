#!/usr/bin/env bash
# openvino 2026.4.1, CPU: an ONNX reduction with noop_with_empty_axes = 1 and no axes.
#
# ONNX: nothing is added up then, but the steps around the sum are still done, so that ReduceL1 and ReduceL2 give magnitudes,
# ReduceSumSquare squares and ReduceLogSum logarithms. openvino hands the input on unchanged for the norms and the logarithm,
# signs included, and squares for ReduceSumSquare. onnx's reference evaluator, onnxruntime and tract do as the text says.
#
# Output seen, for -2 4:
#   ReduceL1: ONNX 2 4, openvino -2 4
#   ReduceL2: ONNX 2 4, openvino -2 4
#   ReduceLogSum: ONNX nan 1.38629, openvino -2 4
#   ReduceSumSquare: ONNX 4 16, openvino 4 16
#   ReduceSum: ONNX -2 4, openvino -2 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install openvino==2026.4.1 onnx==1.23.2 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import openvino
from onnx import TensorProto, checker, helper
from onnx.reference import ReferenceEvaluator

np.seterr(all="ignore")
X = np.array([[-2, 4]], np.float32)
text = lambda numbers: " ".join(f"{number:g}" for number in numbers.ravel())
seen = []
for op in ["ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceSumSquare", "ReduceSum"]:
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2])
    node = helper.make_node(op, ["x"], ["y"], noop_with_empty_axes=1)
    model = helper.make_model(
        helper.make_graph([node], "g", [value("x")], [value("y")]), opset_imports=[helper.make_opsetid("", 18)], ir_version=8
    )
    checker.check_model(model, full_check=True)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(io.BytesIO(model.SerializeToString())), "CPU")
    seen.append((text(ReferenceEvaluator(model).run(None, {"x": X})[0]), text(compiled({"x": X})[0])))
    print(f"{op}: ONNX {seen[-1][0]}, openvino {seen[-1][1]}")
assert seen == [("2 4", "-2 4"), ("2 4", "-2 4"), ("nan 1.38629", "-2 4"), ("4 16", "4 16"), ("-2 4", "-2 4")], seen
PYTHON
