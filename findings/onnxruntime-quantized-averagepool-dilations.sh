#!/usr/bin/env bash
# onnxruntime 1.32.0, CPU: an AveragePool with dilations between quantized tensors (QDQ form).
#
# Since operator set 19 an AveragePool may have dilations, and in float it runs. From ORT_ENABLE_EXTENDED on the QDQ form of it
# becomes a QLinearAveragePool, an operator of onnxruntime's own that has no such attribute: the session is refused as an
# "invalid model" for a node that no one wrote. At the level below it runs. quantize_static writes such files and its result does
# not load with the default options. A MaxPool with dilations is left alone.
#
# Output seen:
#   float, all optimizations: 4 x 4
#   QDQ, basic: 4 x 4
#   QDQ, extended: Unrecognized attribute: dilations for operator QLinearAveragePool
#   QDQ, MaxPool, all optimizations: 4 x 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper


def run(quantized, level, op="AveragePool"):
    pool = helper.make_node(op, ["d" if quantized else "x"], ["p" if quantized else "y"], kernel_shape=[3, 3], dilations=[2, 2])
    nodes = [pool]
    if quantized:
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            pool,
            helper.make_node("QuantizeLinear", ["p", "s", "z"], ["r"]),
            helper.make_node("DequantizeLinear", ["r", "s", "z"], ["y"]),
        ]
    value = lambda name, extent: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, extent, extent])
    parameters = {"s": np.float32(0.1), "z": np.uint8(0)} if quantized else {}
    initializers = [numpy_helper.from_array(np.asarray(number), name) for name, number in parameters.items()]
    graph = helper.make_graph(nodes, "g", [value("x", 8)], [value("y", 4)], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, "ORT_ENABLE_" + level)
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        shape = session.run(None, {"x": np.ones((1, 1, 8, 8), np.float32)})[0].shape
        return f"{shape[2]} x {shape[3]}"
    except Exception as error:
        text = "Unrecognized attribute: dilations for operator QLinearAveragePool"
        return text if text in str(error) else str(error)


seen = []
for what, settings in [
    ("float, all optimizations", (False, "ALL")),
    ("QDQ, basic", (True, "BASIC")),
    ("QDQ, extended", (True, "EXTENDED")),
    ("QDQ, MaxPool, all optimizations", (True, "ALL", "MaxPool")),
]:
    seen.append(run(*settings))
    print(f"{what}: {seen[-1]}")
refused = "Unrecognized attribute: dilations for operator QLinearAveragePool"
assert seen == ["4 x 4", "4 x 4", refused, "4 x 4"], seen
PYTHON
