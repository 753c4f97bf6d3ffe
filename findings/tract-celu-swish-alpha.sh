#!/usr/bin/env bash
# tract 0.23.9: Celu and Swish with an alpha other than 1.
#
# ONNX: Celu is alpha * (exp(x / alpha) - 1) below 0, Swish is x * sigmoid(alpha * x). tract leaves the factor in front of Celu
# out, so that its negative half is alpha times too small, and does not read Swish's alpha at all. Elu, Selu, LeakyRelu and the
# others heed theirs. Both are right with the default, which is what exporters write most of the time.
#
# Output seen, for -3 -1 1 2:
#   Celu, alpha 1: ONNX -0.950 -0.632 1.000 2.000, tract -0.950 -0.632 1.000 2.000
#   Celu, alpha 2: ONNX -1.554 -0.787 1.000 2.000, tract -0.777 -0.393 1.000 2.000
#   Swish, alpha 1: ONNX -0.142 -0.269 0.731 1.762, tract -0.142 -0.269 0.731 1.762
#   Swish, alpha 2: ONNX -0.007 -0.119 0.881 1.964, tract -0.142 -0.269 0.731 1.762
#   Elu, alpha 2: ONNX -1.900 -1.264 1.000 2.000, tract -1.900 -1.264 1.000 2.000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install tract==0.23.9 onnx==1.23.2 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/net.onnx" <<'PYTHON'
import sys

import numpy as np
import onnx
import tract
from onnx import TensorProto, checker, helper
from onnx.reference import ReferenceEvaluator

X = np.array([-3, -1, 1, 2], np.float32)
text = lambda numbers: " ".join(f"{number:.3f}" for number in numbers)
seen = []
for op, alpha in [("Celu", 1.0), ("Celu", 2.0), ("Swish", 1.0), ("Swish", 2.0), ("Elu", 2.0)]:
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [4])
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"], alpha=alpha)], "g", [value("x")], [value("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=11)
    checker.check_model(model, full_check=True)
    onnx.save(model, sys.argv[1])
    other = tract.onnx().load(sys.argv[1])
    other.set_input_fact(0, "4,f32")
    exact = ReferenceEvaluator(model).run(None, {"x": X})[0]
    seen.append((text(exact), text(other.into_model().into_runnable().run([X])[0].to_numpy())))
    print(f"{op}, alpha {alpha:g}: ONNX {seen[-1][0]}, tract {seen[-1][1]}")
assert seen == [
    ("-0.950 -0.632 1.000 2.000", "-0.950 -0.632 1.000 2.000"),
    ("-1.554 -0.787 1.000 2.000", "-0.777 -0.393 1.000 2.000"),
    ("-0.142 -0.269 0.731 1.762", "-0.142 -0.269 0.731 1.762"),
    ("-0.007 -0.119 0.881 1.964", "-0.142 -0.269 0.731 1.762"),
    ("-1.900 -1.264 1.000 2.000", "-1.900 -1.264 1.000 2.000"),
], seen
PYTHON
