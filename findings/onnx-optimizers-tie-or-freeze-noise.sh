#!/usr/bin/env bash
# onnxoptimizer 0.4.2, onnxsim 0.8.1 and onnxslim 0.1.98: random nodes of a network.
#
# RandomNormal, RandomUniform and their like give other numbers at each node and each run. The first two tools take two nodes with
# the same attributes for one computation done twice (eliminate_common_subexpression, one of the default passes) and keep one:
# sources that were independent are the same number twice, and the variance of their sum is 4 in place of 2. onnxslim takes
# them for constants, draws once and writes the numbers into the file: every run has the same noise. A network that
# models noisy hardware comes back with errors that go together, or that can be learnt. onnxruntime's own optimizations keep them.
#
# Output seen, sum of two RandomNormal, 100000 elements:
#   as written: 2 random nodes, variance 2, two runs differ
#   onnxoptimizer: 1 random nodes, variance 4, two runs differ
#   onnxsim: 1 random nodes, variance 4, two runs differ
#   onnxslim: 0 random nodes, variance 2, two runs agree
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install onnxoptimizer==0.4.2 onnxsim==0.8.1 onnxslim==0.1.98 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - 2> "$folder/notes" <<'PYTHON' || { cat "$folder/notes" >&2; exit 1; }
import numpy as np
import onnxoptimizer
import onnxruntime
import onnxsim
import onnxslim
from onnx import TensorProto, checker, helper

noise = lambda name: helper.make_node("RandomNormal", [], [name], shape=[100000])
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [100000])
graph = helper.make_graph(
    [
        noise("a"),
        noise("b"),
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ],
    "g",
    [value("x")],
    [value("y")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
checker.check_model(model, full_check=True)
seen = []
for what, tool in [
    ("as written", lambda model: model),
    ("onnxoptimizer", onnxoptimizer.optimize),
    ("onnxsim", lambda model: onnxsim.simplify(model)[0]),
    ("onnxslim", onnxslim.slim),
]:
    result = tool(model)
    nodes = sum(node.op_type == "RandomNormal" for node in result.graph.node)
    session = onnxruntime.InferenceSession(result.SerializeToString(), providers=["CPUExecutionProvider"])
    runs = [session.run(None, {"x": np.zeros(100000, np.float32)})[0] for _ in range(2)]
    variance, outcome = round(float(runs[0].var())), "agree" if (runs[0] == runs[1]).all() else "differ"
    print(f"{what}: {nodes} random nodes, variance {variance}, two runs {outcome}")
    seen.append((nodes, variance, outcome))
assert seen == [(2, 2, "differ"), (1, 4, "differ"), (1, 4, "differ"), (0, 2, "agree")], seen
PYTHON
