"""Training throughput of skimp beside PyTorch, in alternation.

Usage: python pytorch_train.py TARGET_DIR/release/examples/throughput [network ...] [--rounds 5] [--steps 10]
           [--precision fp32 bf16] [--threads 1 2]

Builds the same networks in PyTorch (SGD with momentum 0.9, batch 64, cross-entropy), and for each precision and number
of threads alternates: skimp, PyTorch channels_last, PyTorch NCHW. `bf16` is skimp's policy of that name beside
torch.autocast("cpu", torch.bfloat16). Prints the median and the range over the rounds of images per second of wall time
and of CPU time (user and system), the ratio of the medians to the better layout, and with both precisions skimp's own
ratio, all of one series. Needs: torch (any CPU build).
"""

import argparse
import contextlib
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


def run_torch(network, precision, threads, steps, layout):
    """In a process of its own, so that thread pools do not disturb each other."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    memory_format = getattr(torch, layout)
    model = NETWORKS[network](torch).to(memory_format=memory_format).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(BATCH, 3, 32, 32).to(memory_format=memory_format)
    labels = torch.arange(BATCH) * 7 % 10

    def casts():
        return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()

    def step():
        optimizer.zero_grad(set_to_none=True)
        with casts():
            loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
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


def compare(args, network, threads):
    """One table: every program and precision in each round."""
    commands = {}
    for precision in args.precision:
        torch_command = [sys.executable, __file__, "--torch", network, precision, str(threads), str(args.steps)]
        skimp_command = [args.program, network, str(BATCH), str(threads), str(args.steps), precision]
        commands[precision, "skimp"] = skimp_command
        commands[precision, "channels_last"] = torch_command + ["channels_last"]
        commands[precision, "contiguous"] = torch_command + ["contiguous_format"]
    found = {key: [] for key in commands}
    for _ in range(args.rounds):
        for key, command in commands.items():
            found[key].append(measure(command, threads))
    medians = {}
    for key, runs in found.items():
        walls, cpus = zip(*runs)
        medians[key] = statistics.median(walls), statistics.median(cpus)
        print(
            f"{network} threads {threads} {' '.join(key)}: {medians[key][0]:.1f} images/s "
            f"({min(walls):.1f} to {max(walls):.1f}), {medians[key][1]:.1f} images/CPU-s "
            f"({min(cpus):.1f} to {max(cpus):.1f})",
            flush=True,
        )
    for i, unit in enumerate(["wall", "CPU"]):
        for precision in args.precision:
            best = max(medians[precision, "channels_last"][i], medians[precision, "contiguous"][i])
            ratio = medians[precision, "skimp"][i] / best
            print(f"{network} threads {threads} {precision} ratio in {unit} time: {ratio:.2f}", flush=True)
        if {"fp32", "bf16"} <= set(args.precision):
            ratio = medians["bf16", "skimp"][i] / medians["fp32", "skimp"][i]
            print(f"{network} threads {threads} skimp bf16 over fp32 in {unit} time: {ratio:.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    args = parser.parse_args()
    for network in args.networks:
        for threads in args.threads:
            compare(args, network, threads)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--torch"]:
        run_torch(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), sys.argv[6])
    else:
        main()
