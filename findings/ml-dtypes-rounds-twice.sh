#!/usr/bin/env bash
# ml_dtypes 0.6.0 and onnxruntime 1.32.0: casts to few bits from numbers that have more than f32.
#
# Arrays of float64, of int32 and of int64 go to f32 first and from there to bfloat16 or 8 bits: two roundings. Where the
# first one ends at a midpoint of the narrow format, the second one goes to the even neighbor, though the number is nearer to the
# other. Integers from 2^24 on meet it in bfloat16, and every midpoint has float64s about it that do (ml_dtypes#401, open).
# numpy's own float16 rounds once. onnxruntime's Cast does the same, in float16 too, so that the two agree with each other
# on a wrong number; onnx's reference evaluator is ml_dtypes.
#
# Output seen:
#   float64 432 - 2^-44 to float8_e4m3fn (416 is nearer): ml_dtypes 448, onnxruntime 448
#   float64 1 + 2^-8 + 2^-40 to bfloat16 (1.0078125 is nearer): ml_dtypes 1, onnxruntime 1
#   int32 16842753 to bfloat16 (16908288 is nearer): ml_dtypes 16777216, onnxruntime 16777216
#   float64 1 + 2^-11 + 2^-40 to float16 (1.0009765625 is nearer): numpy 1.0009765625, onnxruntime 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install onnx==1.23.2 onnxruntime==1.32.0 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
from fractions import Fraction

import ml_dtypes
import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper


def onnx_cast(number, to):
    nodes = [helper.make_node("Cast", ["x"], ["q"], to=to), helper.make_node("Cast", ["q"], ["y"], to=TensorProto.FLOAT)]
    value = lambda name, kind: helper.make_tensor_value_info(name, kind, [1])
    inputs = [value("x", helper.np_dtype_to_tensor_dtype(number.dtype))]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, [value("y", TensorProto.FLOAT)]),
        opset_imports=[helper.make_opsetid("", 21)],
        ir_version=10,
    )
    checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": number})[0].item()


seen = []
for what, number, kind, to, below, above in [
    ("432 - 2^-44", np.array([432 - 2**-44]), ml_dtypes.float8_e4m3fn, TensorProto.FLOAT8E4M3FN, 416, 448),
    ("1 + 2^-8 + 2^-40", np.array([1 + 2**-8 + 2**-40]), ml_dtypes.bfloat16, TensorProto.BFLOAT16, 1, 1 + 2**-7),
    ("16842753", np.array([16842753], np.int32), ml_dtypes.bfloat16, TensorProto.BFLOAT16, 2**24, 2**24 + 2**17),
    ("1 + 2^-11 + 2^-40", np.array([1 + 2**-11 + 2**-40]), np.float16, TensorProto.FLOAT16, 1, 1 + 2**-10),
]:
    exact = Fraction(number.item())
    assert below < exact < above
    nearer = below if exact - Fraction(below) < Fraction(above) - exact else above
    cast, onnx = number.astype(kind).astype(np.float64).item(), onnx_cast(number, to)
    tool = "numpy" if kind is np.float16 else "ml_dtypes"
    print(f"{number.dtype} {what} to {np.dtype(kind)} ({nearer:.12g} is nearer): {tool} {cast:.12g}, onnxruntime {onnx:.12g}")
    seen.append((nearer, cast, onnx))
assert seen == [
    (416, 448, 448),
    (1 + 2**-7, 1, 1),
    (2**24 + 2**17, 2**24, 2**24),
    (1 + 2**-10, 1 + 2**-10, 1),
], seen
PYTHON
