#!/usr/bin/env bash
# nir 1.0.8: nodes of a graph whose names hold a slash, as torch's ONNX exporter names them ("/fc/MatMul").
#
# nir.write takes such a graph without a word: its names become groups of the HDF5 file, in which a slash starts a group
# inside of a group. nir.read then does not find the node again: the file is there, and the network is lost.
#
# Output seen:
#   fc: read back
#   fc/MatMul: written, then KeyError 'type'
#   /fc/MatMul: written, then ValueError Edge ('input', '/fc/MatMul') references destination node '/fc/MatMul' which does not exist
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install nir==1.0.8 numpy==2.4.6 h5py==3.16.0
"$folder/venv/bin/python" - "$folder/net.nir" <<'PYTHON'
import sys

import nir
import numpy as np


def outcome(name):
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        name: nir.Linear(weight=np.ones((2, 3), np.float32)),
        "output": nir.Output({"output": np.array([2])}),
    }
    nir.write(sys.argv[1], nir.NIRGraph(nodes=nodes, edges=[("input", name), (name, "output")]))
    try:
        assert set(nir.read(sys.argv[1]).nodes) == set(nodes)
    except (KeyError, ValueError) as error:
        return f"written, then {type(error).__name__} {error}".split(" in the graph")[0]
    return "read back"


seen = {name: outcome(name) for name in ["fc", "fc/MatMul", "/fc/MatMul"]}
for name, text in seen.items():
    print(f"{name}: {text}")
assert seen["fc"] == "read back", seen
assert seen["fc/MatMul"] == "written, then KeyError 'type'", seen
assert seen["/fc/MatMul"].startswith("written, then ValueError"), seen
PYTHON
