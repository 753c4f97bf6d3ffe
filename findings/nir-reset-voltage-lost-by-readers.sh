#!/usr/bin/env bash
# nir 1.0.8 and two of its readers, norse 1.1.0 and snntorch 1.0.0: the reset voltage of a LIF neuron.
#
# The format's equation sends a neuron that spikes to its v_reset. Both readers pass over the number in silence and reset to 0,
# whatever is in the file: a neuron that goes to ten times its threshold below 0, and so is quiet for a while, fires on at three
# times its rate. v_leak, the threshold and the time constant are heeded (or refused). That norse's from_nir warns of an r other
# than 1 makes its silence about v_reset seem an answer.
#
# Output seen, spikes in 200 steps:
#   v_reset 0: by the equation 28, norse 28, snntorch 28
#   v_reset -1: by the equation 14, norse 28, snntorch 28
#   v_reset -5: by the equation 9, norse 28, snntorch 28
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# One at a time and without triton, which takes half of the space that all at once takes.
"$folder/venv/bin/pip" -q install --dry-run --report "$folder/report.json" \
    norse==1.1.0 snntorch==1.0.0 nir==1.0.8 nirtorch==2.6 torch==2.15.0 torchvision==0.29.2 numpy==2.4.6
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
import contextlib
import io

import nir
import norse.torch
import numpy as np
import torch
from snntorch.import_nir import import_from_nir


def graph(step, v_reset):
    """A neuron whose time constant is ten steps long."""
    one = np.ones(1, np.float32)
    neuron = nir.LIF(tau=10 * step * one, r=one, v_leak=0 * one, v_threshold=0.5 * one, v_reset=v_reset * one)
    ends = {"input": nir.Input({"input": np.array([1])}), "output": nir.Output({"output": np.array([1])})}
    return nir.NIRGraph({**ends, "lif": neuron}, [("input", "lif"), ("lif", "output")])


def spikes(network):
    state, count = None, 0
    for _ in range(200):
        spike, state = network(torch.ones(1, 1), state)
        count += int(spike.item() > 0)
    return count


seen = []
for v_reset in [0, -1, -5]:
    voltage, by_equation = 0.0, 0
    for _ in range(200):
        voltage += (1 - voltage) / 10
        if voltage > 0.5:
            voltage, by_equation = v_reset, by_equation + 1
    # The step of snntorch's reader is fixed.
    with contextlib.redirect_stdout(io.StringIO()):
        found = spikes(norse.torch.from_nir(graph(1e-3, v_reset), dt=1e-3)), spikes(import_from_nir(graph(1e-4, v_reset)))
    seen.append((by_equation, *found))
    print("v_reset {}: by the equation {}, norse {}, snntorch {}".format(v_reset, *seen[-1]))
assert seen == [(28, 28, 28), (14, 28, 28), (9, 28, 28)], seen
PYTHON
"$folder/venv/bin/python" "$folder/check.py" 2> "$folder/notes" || { cat "$folder/notes" >&2; exit 1; }
