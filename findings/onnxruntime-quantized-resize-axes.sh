#!/usr/bin/env bash
# onnxruntime 1.32.0, CPU: a quantized network with a Resize of some axes does not load.
#
# Since operator set 18 a Resize may name the axes that it changes; torch's exporter writes it so. Between two convolutions in
# QDQ form the optimizations of the last level turn such a node to channels last and read `sizes` (or `scales`) as if it had
# an entry for every axis: with sizes the session is refused with a shape inference error about 0 elements, with scales it is
# made and the first run fails in a Gather that no one wrote. The same files load and run at the level below it, and so do
# files that list all four axes, and float ones. So torch's DeepLabV3 in QDQ form loads with ORT_ENABLE_EXTENDED only.
#
# Output seen:
#   float, axes [2, 3], sizes: (1, 16, 12, 12)
#   QDQ, all axes, sizes: (1, 16, 12, 12)
#   QDQ, axes [2, 3], sizes, extended: (1, 16, 12, 12)
#   QDQ, axes [2, 3], sizes, all optimizations: Number of elements of input 'sizes' (0) does not match the number of axes (2)
#   QDQ, axes [2, 3], scales, all optimizations: indices element out of data bounds, idx=2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper


def network(in_qdq, some_axes, by):
    constants = {"w_codes": np.ones((16, 16, 3, 3), np.int8), "scale": np.float32(0.05), "zero": np.uint8(128),
                 "w_zero": np.int8(0)}
    nodes = []

    def node(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def coded(x):
        if not in_qdq:
            return x
        codes = node("QuantizeLinear", [x, "scale", "zero"], x + "_codes")
        return node("DequantizeLinear", [codes, "scale", "zero"], x + "_real")

    weight = node("DequantizeLinear", ["w_codes", "scale", "w_zero"], "w")
    y = coded(node("Conv", [coded("x"), weight], "first", pads=[1] * 4))
    given = {"sizes": np.array([1, 16, 12, 12], np.int64), "scales": np.array([1, 1, 1.5, 1.5], np.float32)}[by]
    constants["given"] = given[2:] if some_axes else given
    inputs = [y, "", "given"] if by == "scales" else [y, "", "", "given"]
    y = coded(node("Resize", inputs, "resized", mode="linear", **({"axes": [2, 3]} if some_axes else {})))
    y = coded(node("Conv", [y, weight], "second", pads=[1] * 4))
    value = lambda name, size: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16, size, size])
    graph = helper.make_graph(nodes, "g", [value("x", 8)], [value(y, 12)],
                              [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model, full_check=True)
    return model.SerializeToString()


def outcome(level, *form):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = level
    try:
        session = onnxruntime.InferenceSession(network(*form), options, providers=["CPUExecutionProvider"])
        return str(session.run(None, {"x": np.ones((1, 16, 8, 8), np.float32)})[0].shape)
    except Exception as error:
        return str(error)


level = onnxruntime.GraphOptimizationLevel
everything, extended = level.ORT_ENABLE_ALL, level.ORT_ENABLE_EXTENDED
right = "(1, 16, 12, 12)"
cases = [
    ("float, axes [2, 3], sizes", everything, (False, True, "sizes"), right),
    ("QDQ, all axes, sizes", everything, (True, False, "sizes"), right),
    ("QDQ, axes [2, 3], sizes, extended", extended, (True, True, "sizes"), right),
    ("QDQ, axes [2, 3], sizes, all optimizations", everything, (True, True, "sizes"),
     "Number of elements of input 'sizes' (0) does not match the number of axes (2)"),
    ("QDQ, axes [2, 3], scales, all optimizations", everything, (True, True, "scales"),
     "indices element out of data bounds, idx=2"),
]
for name, optimizations, form, expected in cases:
    found = outcome(optimizations, *form)
    assert expected in found, (name, found)
    print(f"{name}: {expected}")
PYTHON
