"""Training throughput of skimp beside PyTorch, in alternation.

Usage: python pytorch_train.py TARGET_DIR/release/examples/throughput [rounds] [steps] [network ...]

Builds the same networks in PyTorch (float32, SGD with momentum 0.9, batch 64, cross-entropy), and for one and two
threads alternates: skimp, PyTorch channels_last, PyTorch NCHW. Prints the median and the range over the rounds of
images per second of wall time and of CPU time (user and system), and the ratio of the medians to the better layout.
Needs: torch (any CPU build).
"""

import os
import re
import statistics
import subprocess
import sys
import time

BATCH = 64
WARM_UP = 3


def conv4(torch):
    nn = torch.nn
    layers, c = [], 3
    for i, k in enumerate([32, 32, 64, 64]):
        layers += [nn.Conv2d(c, k, 3, padding=1), nn.ReLU()] + ([nn.MaxPool2d(2)] if i % 2 else [])
        c = k
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 64, 512), nn.ReLU(), nn.Linear(512, 10))


def vgg_small(torch):
    nn = torch.nn
    layers, c = [], 3
    for i, k in enumerate([128, 128, 256, 256, 512, 512]):
        layers.append(nn.Conv2d(c, k, 3, padding=1, bias=False))
        if i % 2:
            layers.append(nn.MaxPool2d(2))
        layers += [nn.BatchNorm2d(k, eps=1e-4), nn.ReLU()]
        c = k
    layers.append(nn.Flatten())
    c = 512 * 16
    for k in [1024, 1024]:
        layers += [nn.Linear(c, k, bias=False), nn.BatchNorm1d(k, eps=1e-4), nn.ReLU()]
        c = k
    return nn.Sequential(*layers, nn.Linear(c, 10, bias=False), nn.BatchNorm1d(10, eps=1e-4))


def resnet20(torch):
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, c, k, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(c, k, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(k)
            self.conv2 = nn.Conv2d(k, k, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(k)
            self.stride, self.more = stride, (k - c) // 2

        def forward(self, x):
            y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
            if self.stride != 1:
                x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
            return functional.relu(y + x)

    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    c = 16
    for k in [16, 32, 64]:
        for i in range(3):
            layers.append(Block(c, k, 2 if i == 0 and k != c else 1))
            c = k
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


NETWORKS = {
    "conv4-fc2:widths=32-32-64-64-512": conv4,
    "vgg-small": vgg_small,
    "resnet20": resnet20,
}


def run_torch(network, threads, steps, layout):
    """In a process of its own, so that thread pools do not disturb each other."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    memory_format = getattr(torch, layout)
    model = NETWORKS[network](torch).to(memory_format=memory_format).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(BATCH, 3, 32, 32).to(memory_format=memory_format)
    labels = torch.arange(BATCH) * 7 % 10

    def step():
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    for _ in range(WARM_UP):
        step()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        step()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{steps * BATCH / wall:.1f} images/s, {steps * BATCH / cpu:.1f} images/CPU-s")


def measure(command, threads):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    wall, cpu = re.search(r"([0-9.]+) images/s, ([0-9.]+) images/CPU-s", output).groups()
    return float(wall), float(cpu)


def main():
    program = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    names = sys.argv[4:] or list(NETWORKS)
    for network in names:
        for threads in [1, 2]:
            torch_command = [sys.executable, __file__, "--torch", network, str(threads), str(steps)]
            commands = {
                "skimp": [program, network, str(BATCH), str(threads), str(steps)],
                "channels_last": torch_command + ["channels_last"],
                "contiguous": torch_command + ["contiguous_format"],
            }
            found = {name: [] for name in commands}
            for _ in range(rounds):
                for name, command in commands.items():
                    found[name].append(measure(command, threads))
            medians = {}
            for name, runs in found.items():
                walls, cpus = zip(*runs)
                medians[name] = statistics.median(walls), statistics.median(cpus)
                print(
                    f"{network} threads {threads} {name}: {medians[name][0]:.1f} images/s "
                    f"({min(walls):.1f} to {max(walls):.1f}), {medians[name][1]:.1f} images/CPU-s "
                    f"({min(cpus):.1f} to {max(cpus):.1f})",
                    flush=True,
                )
            for i, unit in enumerate(["wall", "CPU"]):
                best = max(medians["channels_last"][i], medians["contiguous"][i])
                print(f"{network} threads {threads} ratio in {unit} time: {medians['skimp'][i] / best:.2f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--torch"]:
        run_torch(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    else:
        main()
