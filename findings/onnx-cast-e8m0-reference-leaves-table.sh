#!/usr/bin/env bash
# onnx 1.23.2: Cast to FLOAT8E8M0, the format of block scales, as the reference evaluator runs it.
#
# The operator's text has a table of special values for two pairs of attributes. With saturate=1 and round_mode="up" an infinity
# becomes the greatest number (2^127) and what lies below the least one (2^-127) becomes the least; with saturate=0 and "nearest"
# both 0 and what lies below the least number become NaN. onnxruntime 1.32.0 does so. onnx's own reference evaluator gives NaN
# for the infinity, twice the least number for 5e-39, and with saturate=0 the least number for 0 and for 5e-39: a block of zeros
# looks as if it had a scale.
#
# Output seen, for inf, 0 and 5e-39:
#   saturate 1, up: table 2^127 2^-127 2^-127, onnxruntime 2^127 2^-127 2^-127, reference NaN 2^-127 2^-126
#   saturate 0, nearest: table NaN NaN NaN, onnxruntime NaN NaN NaN, reference NaN 2^-127 2^-127
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install onnx==1.23.2 onnxruntime==1.32.0 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, defs, helper
from onnx.reference import ReferenceEvaluator

NUMBERS = np.array([np.inf, 0, 5e-39], np.float32)
LEAST = 2.0**-127


def words(numbers):
    return " ".join("NaN" if np.isnan(x) else f"2^{int(np.log2(x))}" for x in numbers.astype(np.float64))


def check(saturate, round_mode, table, expected):
    nodes = [
        helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E8M0, saturate=saturate, round_mode=round_mode),
        helper.make_node("Cast", ["y"], ["z"], to=TensorProto.FLOAT),
    ]
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [3])
    graph = helper.make_graph(nodes, "cast", [value("x")], [value("z")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=12)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    runtime = session.run(None, {"x": NUMBERS})[0]
    reference = ReferenceEvaluator(model).run(None, {"x": NUMBERS})[0]
    table, expected = np.float32(table), np.float32(expected)
    print(f"saturate {saturate}, {round_mode}: table {words(table)}, onnxruntime {words(runtime)}, reference {words(reference)}")
    assert np.array_equal(runtime, table, equal_nan=True), runtime
    assert np.array_equal(reference, expected, equal_nan=True), reference


text = " ".join(defs.get_schema("Cast", 25, "").doc.split())
for row in ["| 0 | 0 | NaN |", "| Inf | E8M0_MAX | NaN |", "| x < E8M0_MIN | E8M0_MIN | NaN |"]:
    assert row in text, row
nan = np.nan
check(1, "up", [2.0**127, LEAST, LEAST], [nan, LEAST, 2 * LEAST])
check(0, "nearest", [nan, nan, nan], [nan, LEAST, LEAST])
PYTHON
