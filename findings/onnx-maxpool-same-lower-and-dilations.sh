#!/usr/bin/env bash
# onnx 1.23.2, onnxruntime 1.32.0 and openvino 2026.4.1: MaxPool with auto_pad SAME_LOWER, or SAME and dilations.
#
# ONNX: there are ceil(extent / stride) results, the padding is what they need for windows of (window - 1) * dilation + 1, and of
# an odd one the greater half lies at the beginning for SAME_LOWER. onnx's own reference evaluator gives SAME_LOWER the windows
# of SAME_UPPER as soon as there is a stride. onnxruntime leaves the dilation out of the padding and gives fewer results
# than the shape that it inferred for the output; for a Conv with both attributes it says so and refuses. openvino is right in
# all of these.
#
# Output seen, for 1 2 3 ...:
#   SAME_LOWER, 6, window 3, stride 2: by the text 2 4 6, onnx 3 5 6, onnxruntime 2 4 6, openvino 2 4 6
#   SAME_UPPER, 6, window 3, stride 2: by the text 3 5 6, onnx 3 5 6, onnxruntime 3 5 6, openvino 3 5 6
#   SAME_UPPER, 8, window 3, dilation 2: by the text 3 4 5 6 7 8 7 8, onnx 3 4 5 6 7 8 7 8, onnxruntime 4 5 6 7 8 7, openvino 3 4 5 6 7 8 7 8
#   SAME_LOWER, 8, window 3, stride 2, dilation 2: by the text 3 5 7 7, onnx 4 6 8 8, onnxruntime 4 6 8, openvino 3 5 7 7
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.32.0 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - 2> "$folder/notes" <<'PYTHON' || { cat "$folder/notes" >&2; exit 1; }
import io

import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, checker, helper
from onnx.reference import ReferenceEvaluator


def by_text(x, pad, window, stride, dilation):
    count = -(-len(x) // stride)
    padding = (count - 1) * stride + (window - 1) * dilation + 1 - len(x)
    begin = padding - padding // 2 if pad == "SAME_LOWER" else padding // 2
    places = [[at * stride - begin + tap * dilation for tap in range(window)] for at in range(count)]
    return np.array([max(x[place] for place in taps if 0 <= place < len(x)) for taps in places])


def run(pad, extent, window, stride, dilation):
    x = np.arange(1, extent + 1, dtype=np.float32)
    settings = {"kernel_shape": [window], "strides": [stride], "dilations": [dilation]}
    graph = helper.make_graph(
        [helper.make_node("MaxPool", ["x"], ["y"], auto_pad=pad, **settings)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, extent])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, -(-extent // stride)])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)
    checker.check_model(model, full_check=True)
    feed = {"x": x.reshape(1, 1, -1)}
    core = openvino.Core()
    file = model.SerializeToString()
    results = [
        by_text(x, pad, window, stride, dilation),
        ReferenceEvaluator(model).run(None, feed)[0],
        onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, feed)[0],
        core.compile_model(core.read_model(io.BytesIO(file)), "CPU")(feed)[0],
    ]
    found = tuple(" ".join(f"{number:g}" for number in numbers.ravel()) for numbers in results)
    what = f"window {window}" + f", stride {stride}" * (stride > 1) + f", dilation {dilation}" * (dilation > 1)
    print(f"{pad}, {extent}, {what}: by the text {found[0]}, onnx {found[1]}, onnxruntime {found[2]}, openvino {found[3]}")
    return found


seen = [
    run("SAME_LOWER", 6, 3, 2, 1),
    run("SAME_UPPER", 6, 3, 2, 1),
    run("SAME_UPPER", 8, 3, 1, 2),
    run("SAME_LOWER", 8, 3, 2, 2),
]
assert seen == [
    ("2 4 6", "3 5 6", "2 4 6", "2 4 6"),
    ("3 5 6", "3 5 6", "3 5 6", "3 5 6"),
    ("3 4 5 6 7 8 7 8", "3 4 5 6 7 8 7 8", "4 5 6 7 8 7", "3 4 5 6 7 8 7 8"),
    ("3 5 7 7", "4 6 8 8", "4 6 8", "3 5 7 7"),
], seen
PYTHON
