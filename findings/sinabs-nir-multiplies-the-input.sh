#!/usr/bin/env bash
# sinabs 3.1.3 (with nir 1.0.4, the last one that it takes): a LIF layer on the way to NIR and back.
#
# A LIF of sinabs scales its input by 1 - exp(-1 / tau), its norm_input being True by default, and the file says what that is,
# r = 1: in the format's equation the input goes in by 1 / tau. from_nir then makes a layer with norm_input=False whatever r is,
# so that the input goes in tau times as strong: sinabs's own round trip with the defaults has sixteen times the spikes. A layer
# without the normalization is written with the same r = 1, and so reads back in sinabs but is tau times too weak elsewhere. And
# a layer with a synapse (tau_syn) is written as a LIF without one.
#
# Output seen, tau 10 steps, spikes in 100 steps:
#   norm_input True: LIF with r 1, in sinabs 9, by the equation 9, read back 145
#   norm_input False: LIF with r 1, in sinabs 145, by the equation 9, read back 145
#   norm_input True, tau_syn 5: LIF with r 1, in sinabs 57, by the equation 9, read back 145
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# One at a time and without triton, which takes half of the space that all at once takes.
"$folder/venv/bin/pip" -q install --dry-run --report "$folder/report.json" \
    sinabs==3.1.3 nir==1.0.4 nirtorch==2.0.2 torch==2.15.0 numpy==2.4.6
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
import nir
import sinabs.layers
import torch
from sinabs.nir import from_nir, to_nir

seen = []
for settings in [{"norm_input": True}, {"norm_input": False}, {"norm_input": True, "tau_syn": 5.0}]:

    def network():
        linear = torch.nn.Linear(1, 1, bias=False)
        linear.weight.data[:] = 1
        return torch.nn.Sequential(linear, sinabs.layers.LIFSqueeze(tau_mem=10.0, batch_size=1, **settings))

    inputs = torch.full((100, 1), 1.5)
    own = int(network()(inputs).sum().item())
    graph = to_nir(network(), torch.ones(1, 1))
    (neuron,) = [node for node in graph.nodes.values() if isinstance(node, (nir.LIF, nir.CubaLIF))]
    r, tau, threshold = float(neuron.r), float(neuron.tau), float(neuron.v_threshold)
    voltage, by_equation = 0.0, 0
    for _ in range(100):
        voltage += (r * 1.5 - voltage) / tau
        if voltage > threshold:
            voltage, by_equation = 0.0, by_equation + 1
    back = from_nir(graph, batch_size=1)(inputs)
    back = int((back[0] if isinstance(back, tuple) else back).sum().item())
    what = ", ".join(f"{name} {value:g}" if name == "tau_syn" else f"{name} {value}" for name, value in settings.items())
    kind = type(neuron).__name__
    print(f"{what}: {kind} with r {r:g}, in sinabs {own}, by the equation {by_equation}, read back {back}")
    seen.append((kind, r, own, by_equation, back))
assert seen == [("LIF", 1, 9, 9, 145), ("LIF", 1, 145, 9, 145), ("LIF", 1, 57, 9, 145)], seen
PYTHON
"$folder/venv/bin/python" "$folder/check.py" 2> "$folder/notes" || { cat "$folder/notes" >&2; exit 1; }
