#!/usr/bin/env bash
# snntorch 1.0.0: its neurons' resets on the way to NIR, and neurons of several kinds on the way back.
#
# export_to_nir writes a reset to 0 for every Leaky. A neuron that subtracts its threshold ("subtract", the default) fires less
# often in the file than in snntorch, and one that has no reset at all a tenth as often. import_from_nir folds the gain of a
# neuron (r * dt / tau) into its threshold, but takes that of one neuron, the least, for the whole layer: of two time
# constants, or two resistances, one is right and the other is silent or too slow. Both say nothing of it.
#
# Output seen, spikes in 100 steps:
#   reset subtract: in snntorch 54, read back 50
#   reset zero: in snntorch 50, read back 50
#   reset none: in snntorch 99, read back 50
#   r 10 and 10, tau 1 and 1 ms: by the equation 25 and 25, read 25 and 25
#   r 10 and 20, tau 1 and 1 ms: by the equation 25 and 50, read 25 and 25
#   r 10 and 10, tau 1 and 4 ms: by the equation 25 and 5, read 0 and 5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# One at a time and without triton, which takes half of the space that all at once takes.
"$folder/venv/bin/pip" -q install --dry-run --report "$folder/report.json" \
    snntorch==1.0.0 nir==1.0.8 nirtorch==2.6 torch==2.15.0 numpy==2.4.6
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
import numpy as np
import snntorch
import torch
from snntorch.export_nir import export_to_nir
from snntorch.import_nir import import_from_nir

quiet = lambda: contextlib.redirect_stdout(io.StringIO())


def spikes(network, number, neurons):
    state, count = None, torch.zeros(neurons)
    for _ in range(100):
        spike, state = network(torch.full((1, neurons), number), state)
        count += spike[0] > 0
    return [int(each) for each in count]


resets = []
for reset in ["subtract", "zero", "none"]:
    neuron = lambda: snntorch.Leaky(
        beta=torch.tensor([0.9]), threshold=torch.tensor([1.0]), init_hidden=True, reset_mechanism=reset, reset_delay=False
    )
    linear = torch.nn.Linear(1, 1, bias=False)
    linear.weight.data[:] = 1
    network = torch.nn.Sequential(linear, neuron())
    own = sum(int(network(torch.tensor([[0.6]])).item() > 0) for _ in range(100))
    with quiet():
        back = import_from_nir(export_to_nir(torch.nn.Sequential(linear, neuron()), torch.ones(1)))
    resets.append((own, *spikes(back, 0.6, 1)))
    print("reset {}: in snntorch {}, read back {}".format(reset, *resets[-1]))

gains = []
for r, tau in [((10, 10), (1, 1)), ((10, 20), (1, 1)), ((10, 10), (1, 4))]:
    two = np.ones(2, np.float32)
    lif = nir.LIF(tau=tau * two / 1000, r=r * two, v_leak=0 * two, v_threshold=two, v_reset=0 * two)
    ends = {"input": nir.Input({"input": np.array([2])}), "output": nir.Output({"output": np.array([2])})}
    with quiet():
        read = import_from_nir(nir.NIRGraph({**ends, "lif": lif}, [("input", "lif"), ("lif", "output")]))
    voltage, by_equation = np.zeros(2), np.zeros(2, int)
    for _ in range(100):
        voltage += 1e-4 / lif.tau * (lif.r * 0.3 - voltage)
        by_equation += voltage > 1
        voltage[voltage > 1] = 0
    gains.append((*by_equation.tolist(), *spikes(read, 0.3, 2)))
    print("r {} and {}, tau {} and {} ms: by the equation {} and {}, read {} and {}".format(*r, *tau, *gains[-1]))
assert resets == [(54, 50), (50, 50), (99, 50)], resets
assert gains == [(25, 25, 25, 25), (25, 50, 25, 25), (25, 5, 0, 5)], gains
PYTHON
"$folder/venv/bin/python" "$folder/check.py" 2> "$folder/notes" || { cat "$folder/notes" >&2; exit 1; }
