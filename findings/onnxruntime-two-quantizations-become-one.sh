#!/usr/bin/env bash
# onnxruntime 1.32.0: a tensor that is quantized twice in a row, with two scales (QDQ behind QDQ, 8 bits).
#
# As two layers with parameters of their own leave it, or hardware that stores in coarser steps than it computes. From
# ORT_ENABLE_BASIC on the two pairs become one over the range that they share, with a new scale: the coarse steps are gone,
# although they are what the network says, and where the zero points differ neither pair's numbers are left (0.8 is neither a
# multiple of 0.1 nor of 0.5 then). Between 16 and 8 bits both pairs stay. A study of accuracy with simulated steps so measures
# others than it wrote down.
#
# Output seen, for 0.3 0.4 0.6 0.8:
#   uint8 by 0.1, then by 1: as written 0 0 1 1, optimized 0.3 0.4 0.6 0.8
#   uint8 by 1, then by 0.1: as written 0 0 1 1, optimized 0.3 0.4 0.6 0.8
#   uint8 by 0.1 about 128, then by 0.5: as written 0.5 0.5 0.5 1, optimized 0.298824 0.398431 0.597647 0.796863
#   int16 by 0.1, then int8 by 1: as written 0 0 1 1, optimized 0 0 1 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper


def run(pairs, level):
    nodes, parameters, name = [], [], "x"
    for at, (scale, zero) in enumerate(pairs):
        parameters.append(numpy_helper.from_array(np.array(scale, np.float32), f"s{at}"))
        parameters.append(numpy_helper.from_array(np.asarray(zero), f"z{at}"))
        nodes.append(helper.make_node("QuantizeLinear", [name, f"s{at}", f"z{at}"], [f"q{at}"]))
        name = "y" if at else f"d{at}"
        nodes.append(helper.make_node("DequantizeLinear", [f"q{at}", f"s{at}", f"z{at}"], [name]))
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [4])
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], parameters)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    numbers = session.run(None, {"x": np.array([0.3, 0.4, 0.6, 0.8], np.float32)})[0]
    return " ".join(f"{number:g}" for number in numbers)


levels = onnxruntime.GraphOptimizationLevel
seen = []
for what, first, second in [
    ("uint8 by 0.1, then by 1", (0.1, np.uint8(0)), (1, np.uint8(0))),
    ("uint8 by 1, then by 0.1", (1, np.uint8(0)), (0.1, np.uint8(0))),
    ("uint8 by 0.1 about 128, then by 0.5", (0.1, np.uint8(128)), (0.5, np.uint8(0))),
    ("int16 by 0.1, then int8 by 1", (0.1, np.int16(0)), (1, np.int8(0))),
]:
    seen.append((run([first, second], levels.ORT_DISABLE_ALL), run([first, second], levels.ORT_ENABLE_BASIC)))
    print(f"{what}: as written {seen[-1][0]}, optimized {seen[-1][1]}")
assert seen == [
    ("0 0 1 1", "0.3 0.4 0.6 0.8"),
    ("0 0 1 1", "0.3 0.4 0.6 0.8"),
    ("0.5 0.5 0.5 1", "0.298824 0.398431 0.597647 0.796863"),
    ("0 0 1 1", "0 0 1 1"),
], seen
PYTHON
