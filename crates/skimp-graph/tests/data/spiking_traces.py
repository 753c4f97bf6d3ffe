"""Spikes and states of one neuron, as snntorch, spikingjelly and norse compute them.

    pip install snntorch==1.0.0 spikingjelly==2.0.0 norse==1.1.0 torch==2.15.0
    python spiking_traces.py > spiking_traces.csv

One column for each neuron and what it shows. Inputs are multiples of 1/8, so that thresholds are hit exactly where the
neuron's factors allow it. `mem`, `v`, `i` and `syn` are what the package returns or holds after the step.
"""

import random
from importlib.metadata import version

import norse
import snntorch
import torch
from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, lif_feed_forward_step
from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step
from spikingjelly.activation_based import neuron

STEPS = 60
draws = random.Random(11)
INPUTS = [draws.randint(-6, 12) / 8 for _ in range(STEPS)]
INPUTS[:6] = [0.5, 0.5, 1.0, 4.0, 0.0, 0.0]
columns = {"input": INPUTS}


def add(name, steps):
    for shown in steps[0]:
        columns[f"{name}.{shown}"] = [float(step[shown]) for step in steps]


def run_snntorch(name, make, names):
    cell = make()
    states = [torch.zeros(1) for _ in names]
    steps = []
    for x in INPUTS:
        spike, *states = cell(torch.tensor([x]), *states)
        steps.append({"spike": spike, **dict(zip(names, states))})
    add(name, steps)


for reset in ["subtract", "zero", "none"]:
    for delay in [True, False]:
        for beta in [0.75, 0.9]:
            common = dict(beta=beta, threshold=1.0, reset_mechanism=reset, reset_delay=delay)
            label = f"beta={beta}:reset={reset}:delay={int(delay)}"
            run_snntorch(f"snntorch.Leaky:{label}", lambda: snntorch.Leaky(**common), ["mem"])
            run_snntorch(
                f"snntorch.Synaptic:{label}:alpha=0.5", lambda: snntorch.Synaptic(alpha=0.5, **common), ["syn", "mem"]
            )


def run_spikingjelly(name, cell):
    steps = []
    for x in INPUTS:
        spike = cell(torch.tensor([x]))
        steps.append({"spike": spike, "v": cell.v})
    add(name, steps)


for label, v_reset in [("zero:v_reset=0", 0.0), ("zero:v_reset=-0.25", -0.25), ("subtract", None)]:
    run_spikingjelly(f"spikingjelly.IFNode:reset={label}", neuron.IFNode(v_threshold=1.0, v_reset=v_reset))
    for tau in [2.0, 4.0]:
        for decay in [True, False]:
            cell = neuron.LIFNode(tau=tau, decay_input=decay, v_threshold=1.0, v_reset=v_reset)
            run_spikingjelly(f"spikingjelly.LIFNode:tau={tau}:decay_input={int(decay)}:reset={label}", cell)


def run_norse(name, call, state, scale):
    steps = []
    with torch.no_grad():
        for x in INPUTS:
            spike, state = call(torch.tensor([scale * x]), state)
            shown = {"spike": spike, "v": state.v}
            if hasattr(state, "i"):
                shown["i"] = state.i
            steps.append(shown)
    add(name, steps)


zero = torch.zeros(1)
parameters = LIFParameters()
run_norse("norse.lif_feed_forward:scale=4", lambda x, s: lif_feed_forward_step(x, s, parameters, 0.001),
          LIFFeedForwardState(v=zero, i=zero), 4)
run_norse("norse.LIFCell:scale=4", norse.torch.LIFCell(), None, 4)
run_norse("norse.lif_box_feed_forward:scale=4", lambda x, s: lif_box_feed_forward_step(x, s, LIFBoxParameters(), 0.001),
          LIFBoxFeedForwardState(v=zero), 4)

packages = ", ".join(f"{name} {version(name)}" for name in ["snntorch", "spikingjelly", "norse", "torch"])
print(f"# {packages}; float32, CPU, threshold 1; written by spiking_traces.py")
print(",".join(columns))
for row in zip(*columns.values()):
    print(",".join(f"{float(value):.9g}" for value in row))
