#!/usr/bin/env bash
# openvino 2026.4.1, CPU: an ONNX QuantizeLinear to 16 bits whose scale is 1 and whose zero point is 0.
#
# ONNX: the quotient is rounded to nearest, ties to even, and saturates at the ends of the type. With just these parameters
# openvino takes the quantization for a plain conversion: it cuts the fraction off and wraps, so that 70000 becomes 4464 in
# uint16 and -40000 becomes 25536 in int16. With a scale of 0.5, with a zero point of 1, and in 8 bits it rounds and saturates.
#
# Output seen, for -70000 -40000 -1.5 1.5 2.6 40000 70000 times the scale:
#   uint16, scale 1: 61072 25536 65535 1 2 40000 4464
#   uint16, scale 0.5: 0 0 0 2 3 40000 65535
#   int16, scale 1: -4464 25536 -1 1 2 -25536 4464
#   int16, scale 0.5: -32768 -32768 -2 2 3 32767 32767
#   int8, scale 1: -128 -128 -2 2 3 127 127
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install openvino==2026.4.1 onnx==1.23.2 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import openvino
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

core = openvino.Core()


def check(name, scale, right, expected):
    to = getattr(TensorProto, name.upper())
    constants = [helper.make_tensor("scale", TensorProto.FLOAT, [], [scale]), helper.make_tensor("zero", to, [], [0])]
    node = helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["y"])
    x = np.array([-70000, -40000, -1.5, 1.5, 2.6, 40000, 70000], np.float32) * np.float32(scale)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [7])],
                              [helper.make_tensor_value_info("y", to, [7])], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    compiled = core.compile_model(core.read_model(io.BytesIO(model.SerializeToString())), "CPU")
    found = np.array(compiled({"x": x})[0]).tolist()
    reference = ReferenceEvaluator(model).run(None, {"x": x})[0].tolist()
    print(f"{name}, scale {scale}:", *found)
    assert found == expected and (found == reference) == right, (found, reference)


check("uint16", 1, False, [61072, 25536, 65535, 1, 2, 40000, 4464])
check("uint16", 0.5, True, [0, 0, 0, 2, 3, 40000, 65535])
check("int16", 1, False, [-4464, 25536, -1, 1, 2, -25536, 4464])
check("int16", 0.5, True, [-32768, -32768, -2, 2, 3, 32767, 32767])
check("int8", 1, True, [-128, -128, -2, 2, 3, 127, 127])
PYTHON
