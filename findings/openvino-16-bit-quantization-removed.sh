#!/usr/bin/env bash
# openvino 2026.4.1, CPU: tensors quantized to 16 bits in QDQ form (operator set 21).
#
# A QuantizeLinear and DequantizeLinear of 16 bits are taken out: the tensor stays as it was, neither rounded nor, what matters,
# cut to the range of its codes. A scale of 0.0001 with uint16 ends at 6.5535 and begins at 0, also for the Relu or Clip that a
# quantizer left out because the codes end there; openvino goes on with 9 and with -9. In 8 bits all stays. (A Clamp in place of
# the pair was proposed, openvino#35902, closed.) With a MaxPool between two pairs the network does not compile at all.
#
# Output seen, for -9 -2 0.5 2 9:
#   uint16 by 0.0001, Sigmoid: ONNX 0.5000 0.5000 0.6225 0.8808 0.9986, openvino 0.0001 0.1192 0.6225 0.8808 0.9999
#   uint16 by 0.0001, Identity: ONNX 0.0000 0.0000 0.5000 2.0000 6.5535, openvino -9.0000 -2.0000 0.5000 2.0000 9.0000
#   int16 by 0.0001, Identity: ONNX -3.2768 -2.0000 0.5000 2.0000 3.2767, openvino -9.0000 -2.0000 0.5000 2.0000 9.0000
#   uint8 by 0.02, Identity: ONNX 0.0000 0.0000 0.5000 2.0000 5.1000, openvino 0.0000 0.0000 0.5000 2.0000 5.1000
#   int16 by 0.0001, MaxPool: ONNX 0.5000 2.0000 3.2767, openvino FQ stripping failed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install openvino==2026.4.1 onnx==1.23.2 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import openvino
from onnx import TensorProto, checker, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

X = np.array([-9, -2, 0.5, 2, 9], np.float32).reshape(1, 1, 5)


def run(kind, scale, op, **attributes):
    parameters = {"s": np.float32(scale), "z": kind(0)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node(op, ["d"], ["p"], **attributes),
        helper.make_node("QuantizeLinear", ["p", "s", "z"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "s", "z"], ["y"]),
    ]
    value = lambda name, size: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, size])
    initializers = [numpy_helper.from_array(np.asarray(number), name) for name, number in parameters.items()]
    graph = helper.make_graph(nodes, "g", [value("x", 5)], [value("y", 3 if op == "MaxPool" else 5)], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    checker.check_model(model, full_check=True)
    core = openvino.Core()
    exact = ReferenceEvaluator(model).run(None, {"x": X})[0]
    try:
        compiled = core.compile_model(core.read_model(io.BytesIO(model.SerializeToString())), "CPU")
        return text(exact), text(compiled({"x": X})[0])
    except RuntimeError as error:
        return text(exact), "FQ stripping failed" if "FQ stripping failed" in str(error) else str(error)


text = lambda numbers: " ".join(f"{number:.4f}" for number in numbers.ravel())
seen = []
for kind, scale, op, attributes in [
    (np.uint16, 0.0001, "Sigmoid", {}),
    (np.uint16, 0.0001, "Identity", {}),
    (np.int16, 0.0001, "Identity", {}),
    (np.uint8, 0.02, "Identity", {}),
    (np.int16, 0.0001, "MaxPool", {"kernel_shape": [3]}),
]:
    seen.append(run(kind, scale, op, **attributes))
    print(f"{kind.__name__} by {scale}, {op}: ONNX {seen[-1][0]}, openvino {seen[-1][1]}")
whole = "-9.0000 -2.0000 0.5000 2.0000 9.0000"
assert seen == [
    ("0.5000 0.5000 0.6225 0.8808 0.9986", "0.0001 0.1192 0.6225 0.8808 0.9999"),
    ("0.0000 0.0000 0.5000 2.0000 6.5535", whole),
    ("-3.2768 -2.0000 0.5000 2.0000 3.2767", whole),
    ("0.0000 0.0000 0.5000 2.0000 5.1000", "0.0000 0.0000 0.5000 2.0000 5.1000"),
    ("0.5000 2.0000 3.2767", "FQ stripping failed"),
], seen
PYTHON
