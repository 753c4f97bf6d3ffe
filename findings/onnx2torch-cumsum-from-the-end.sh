#!/usr/bin/env bash
# onnx2torch 1.5.15: a CumSum without the attribute "reverse".
#
# ONNX's default is 0, sums from the first element on, and exporters leave defaults out. onnx2torch takes 1 for it, so that the
# sums run from the last element: 1 2 3 4 become 10 9 7 4. With reverse=0 written down it is right.
#
# Output seen, for 1 2 3 4:
#   no attribute: ONNX 1 3 6 10, onnx2torch 10 9 7 4
#   reverse 0: ONNX 1 3 6 10, onnx2torch 1 3 6 10
#   reverse 1: ONNX 10 9 7 4, onnx2torch 10 9 7 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# One at a time and without triton, which takes half of the space that all at once takes.
"$folder/venv/bin/pip" -q install --dry-run --report "$folder/report.json" \
    onnx2torch==1.5.15 onnx==1.23.2 ml_dtypes==0.6.0 torch==2.15.0 torchvision==0.29.2 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/report.json" > "$folder/packages" <<'PYTHON'
import json
import sys

for package in json.load(open(sys.argv[1]))["install"]:
    name, version = package["metadata"]["name"], package["metadata"]["version"]
    if name != "triton":
        print(f"{name}=={version}")
PYTHON
while read -r package; do
    "$folder/venv/bin/pip" -q install --no-deps --no-cache-dir "$package"
done < "$folder/packages"
cat > "$folder/check.py" <<'PYTHON'
import numpy as np
import onnx2torch
import torch
from onnx import TensorProto, checker, helper
from onnx.reference import ReferenceEvaluator

text = lambda numbers: " ".join(f"{number:g}" for number in numbers)
seen = []
for what, attributes in [("no attribute", {}), ("reverse 0", {"reverse": 0}), ("reverse 1", {"reverse": 1})]:
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [4])
    axis = helper.make_tensor("axis", TensorProto.INT64, [], [0])
    graph = helper.make_graph(
        [helper.make_node("CumSum", ["x", "axis"], ["y"], **attributes)], "g", [value("x")], [value("y")], [axis]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    checker.check_model(model, full_check=True)
    x = np.array([1, 2, 3, 4], np.float32)
    exact = text(ReferenceEvaluator(model).run(None, {"x": x})[0])
    seen.append((exact, text(onnx2torch.convert(model)(torch.from_numpy(x)).numpy())))
    print(f"{what}: ONNX {seen[-1][0]}, onnx2torch {seen[-1][1]}")
up, down = "1 3 6 10", "10 9 7 4"
assert seen == [(up, down), (up, up), (down, down)], seen
PYTHON
"$folder/venv/bin/python" "$folder/check.py" 2> "$folder/notes" || { cat "$folder/notes" >&2; exit 1; }
