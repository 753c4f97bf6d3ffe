#!/usr/bin/env bash
# onnxruntime 1.32.0: quantize_static of a network with a Clip whose range does not contain 0.
#
# A Relu or Clip behind a convolution is taken out, since the codes of what it gives end where it ends. But a range of codes is
# widened until it contains 0, and the clip is taken out all the same: nothing then holds the numbers above its minimum (or
# below its maximum). A Clip to 0.5..1 becomes one to 0..1, with no word of it, in QDQ and in QOperator form. With the option
# QDQKeepRemovableActivations the node stays in QDQ form.
#
# Output seen:
#   Clip 0.5 to 1, QDQ: float 0.5 to 1.0, quantized 0.0 to 1.0
#   Clip 0.5 to 1, QOperator: float 0.5 to 1.0, quantized 0.0 to 1.0
#   Clip -1 to -0.5, QDQ: float -1.0 to -0.5, quantized -1.0 to 0.0
#   Clip 0.5 to 1, QDQ, kept: float 0.5 to 1.0, quantized 0.5 to 1.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import logging
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

logging.disable(logging.WARNING)
folder = sys.argv[1]
IMAGE = np.linspace(-2, 2, 256, dtype=np.float32).reshape(1, 4, 8, 8)


class Images(CalibrationDataReader):
    def __init__(self):
        self.left = [{"x": IMAGE}]

    def get_next(self):
        return self.left.pop() if self.left else None


def network(least, greatest):
    constants = {"w": np.eye(4).reshape(4, 4, 1, 1), "least": np.array(least), "greatest": np.array(greatest)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["first"]),
        helper.make_node("Clip", ["first", "least", "greatest"], ["clipped"]),
        helper.make_node("Conv", ["clipped", "w"], ["y"]),
    ]
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, IMAGE.shape)
    initializers = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def ends(path):
    y = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": IMAGE})[0]
    return round(float(y.min()), 2) + 0.0, round(float(y.max()), 2) + 0.0


def check(least, greatest, form, keep, expected):
    onnx.save(network(least, greatest), f"{folder}/float.onnx")
    quantize_static(f"{folder}/float.onnx", f"{folder}/quantized.onnx", Images(), quant_format=form,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                    extra_options={"QDQKeepRemovableActivations": keep})
    before, after = ends(f"{folder}/float.onnx"), ends(f"{folder}/quantized.onnx")
    note = ", kept" if keep else ""
    print(f"Clip {least} to {greatest}, {form.name}{note}: float {before[0]} to {before[1]}, "
          f"quantized {after[0]} to {after[1]}")
    assert before == (least, greatest) and after == expected, (before, after)
    clips = [node.op_type for node in onnx.load(f"{folder}/quantized.onnx").graph.node].count("Clip")
    assert clips == int(keep), clips


check(0.5, 1, QuantFormat.QDQ, False, (0, 1))
check(0.5, 1, QuantFormat.QOperator, False, (0, 1))
check(-1, -0.5, QuantFormat.QDQ, False, (-1, 0))
check(0.5, 1, QuantFormat.QDQ, True, (0.5, 1))
PYTHON
