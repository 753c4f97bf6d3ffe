"""A convolutional network of spikes as a NIR file, and what snntorch makes of random input spikes.

    pip install snntorch==1.0.0 nir==1.0.8 nirtorch==2.6 torch==2.15.0
    python conv_snn.py          # writes conv_snn.nir.gz and conv_snn.txt beside itself

A line of the text is a time step: indices of the ones in the input, and of the spikes of the hidden and the output neurons.
"""

import gzip
import io
import pathlib
import random
from importlib.metadata import version

import nir
import snntorch
import torch
from snntorch.export_nir import export_to_nir

draws = random.Random(5)


def leaky(beta, shape, **others):
    full = lambda value: torch.full(shape, value)
    neuron = dict(reset_mechanism="zero", reset_delay=False, init_hidden=True)
    return snntorch.Leaky(beta=full(beta), threshold=full(1.0), **neuron, **others)


hidden, output = leaky(0.9, (2, 4, 4)), leaky(0.75, (3,), output=True)
net = torch.nn.Sequential(
    torch.nn.Conv2d(1, 2, 3, padding=1), hidden, torch.nn.AvgPool2d((2, 2)), torch.nn.Flatten(), torch.nn.Linear(8, 3), output
)
for parameter in net[0].weight, net[0].bias, net[4].weight, net[4].bias:
    values = [draws.randint(-30, 70) / 64 for _ in range(parameter.numel())]
    parameter.data = torch.tensor(values).reshape(parameter.shape)

folder = pathlib.Path(__file__).parent
plain = io.BytesIO()
nir.write(plain, export_to_nir(net, torch.rand(1, 1, 4, 4), ignore_dims=[0]))
(folder / "conv_snn.nir.gz").write_bytes(gzip.compress(plain.getvalue(), mtime=0))
hidden.reset_mem()
output.reset_mem()
ones = lambda tensor: " ".join(str(i) for i, x in enumerate(tensor.flatten().tolist()) if x)
packages = ", ".join(f"{name} {version(name)}" for name in ["snntorch", "nir", "nirtorch", "torch"])
lines = [f"# {packages}; written by conv_snn.py"]
with torch.no_grad():
    for _ in range(30):
        x = torch.tensor([float(draws.random() < 0.3) for _ in range(16)]).reshape(1, 1, 4, 4)
        spikes = hidden(net[0](x))
        last = net[5](net[4](net[3](net[2](spikes))))
        lines.append(f"{ones(x)};{ones(spikes)};{ones(last[0])}")
(folder / "conv_snn.txt").write_text("\n".join(lines) + "\n")
