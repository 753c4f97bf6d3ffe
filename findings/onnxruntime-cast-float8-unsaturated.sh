#!/usr/bin/env bash
# onnxruntime 1.32.0, CPU: Cast to 8-bit floats with saturate=0 is not monotone near the end of the range.
#
# ONNX (Cast, "saturate"): beyond the largest number a cast that does not saturate gives NaN in E4M3FN and infinity in E5M2,
# as the reference of onnx 1.23.2 and ml_dtypes 0.6.0 do. In onnxruntime
#   E4M3FN: (464, 480) becomes NaN, [480, 496) becomes 448 again, and from 496 on it is NaN;
#   E5M2:   [61440, 65536) becomes NaN, though the format has an infinity, which 65536 and more become.
# With saturate=1, and in both FNUZ formats, all agree.
#
# Output seen:
#   E4M3FN  464.0: 448.0   470.0: nan   480.0: 448.0   490.0: 448.0   496.0: nan
#   E5M2    57344.0: 57344.0   61440.0: nan   65000.0: nan   65536.0: inf
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install onnx==1.23.2 onnxruntime==1.32.0 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import ml_dtypes
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

np.seterr(all="ignore")


def same(found, expected):
    return np.array_equal(found, np.array(expected, np.float32), equal_nan=True)


def check(name, to, dtype, numbers, expected):
    nodes = [
        helper.make_node("Cast", ["x"], ["y"], to=to, saturate=0),
        helper.make_node("Cast", ["y"], ["z"], to=TensorProto.FLOAT),
    ]
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [None])
    graph = helper.make_graph(nodes, "cast", [value("x")], [value("z")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    x = np.array(numbers, np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": x})[0]
    print(name, *(f"  {a}: {b}" for a, b in zip(x, found)))
    assert same(found, expected), found
    right = x.astype(dtype).astype(np.float32)
    reference = ReferenceEvaluator(model).run(None, {"x": x})[0]
    assert same(reference, right) and not same(found, right), (reference, right)


nan, inf = np.nan, np.inf
check("E4M3FN", TensorProto.FLOAT8E4M3FN, ml_dtypes.float8_e4m3fn, [464, 470, 480, 490, 496], [448, nan, 448, 448, nan])
check("E5M2", TensorProto.FLOAT8E5M2, ml_dtypes.float8_e5m2, [57344, 61440, 65000, 65536], [57344, nan, nan, inf])
PYTHON
