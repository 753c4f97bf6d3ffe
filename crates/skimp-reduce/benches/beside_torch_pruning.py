"""Filter pruning of ResNet-50 by skimp beside Torch-Pruning, from a network to an ONNX file, in alternation.

    cargo build --release -p skimp-cli
    python3 crates/skimp-reduce/benches/beside_torch_pruning.py [--skimp target/release/skimp] [--rounds 3]

Both halve the channels of every group by the l1 norm of its filters, widths a multiple of 8, without training. skimp reads an
ONNX file and writes one; Torch-Pruning prunes torchvision's model and writes it with torch's exporter, which is what its users
do. Each run is a process of its own; printed are the medians of CPU seconds (user and system, imports included), wall seconds
and peak memory, their ratios, and what is left of the network by both. Needs: torch, torchvision, torch-pruning, onnx,
onnxscript (measured with 2.15.0, 0.29.2, 1.6.1, 1.23.2, 0.7.2).
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]


def prune_by_torch(path):
    import torch
    import torch_pruning
    import torchvision

    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = torchvision.models.resnet50(weights=None).eval()
    image = torch.randn(1, 3, 224, 224)
    pruner = torch_pruning.MagnitudePruner(
        model, image, importance=torch_pruning.importance.MagnitudeImportance(p=1), pruning_ratio=0.5,
        ignored_layers=[model.fc], round_to=8)
    pruner.step()
    export(model, image, path)


def export(model, image, path):
    import torch

    torch.onnx.export(model, (image,), path, input_names=["x"], dynamo=True, external_data=False, verbose=False)


def measured(command):
    """CPU seconds, wall seconds and peak memory in MB of a process."""
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - begin
    if status:
        sys.exit(f"{command[0]} failed:\n{child.stderr.read()[-2000:]}")
    return usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1000


def left(path):
    """Multiplications of weights (convolutions and dense layers) and weights in millions, by the shapes in the file."""
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
              for value in [*model.graph.value_info, *model.graph.output]}
    weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    macs = elements = 0
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm") and node.input[1] in weights:
            size = 1
            for extent in weights[node.input[1]]:
                size *= extent
            positions = 1
            for extent in shapes[node.output[0]][2:]:
                positions *= extent
            macs, elements = macs + size * positions, elements + size
    return macs / 1e9, elements / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skimp", default=str(ROOT / "target/release/skimp"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--torch", help=argparse.SUPPRESS)
    parser.add_argument("--original", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.torch:
        return prune_by_torch(args.torch)
    if args.original:
        import torch
        import torchvision

        torch.manual_seed(1)
        return export(torchvision.models.resnet50(weights=None).eval(), torch.randn(1, 3, 224, 224), args.original)
    with tempfile.TemporaryDirectory() as folder:
        original, ours, theirs = (f"{folder}/{name}.onnx" for name in ("original", "skimp", "torch"))
        subprocess.run([sys.executable, __file__, "--original", original], check=True, stdout=subprocess.DEVNULL)
        commands = {
            "skimp": [args.skimp, "prune", original, "--method", "l1", "--target", "channels=0.5", "-o", ours, "--force"],
            "Torch-Pruning": [sys.executable, __file__, "--torch", theirs],
        }
        runs = {name: [] for name in commands}
        for _ in range(args.rounds):
            for name, command in commands.items():
                runs[name].append(measured(command))
        medians = {name: [statistics.median(column) for column in zip(*found)] for name, found in runs.items()}
        for name, path in zip(commands, (ours, theirs)):
            cpu, wall, memory = medians[name]
            macs, weights = left(path)
            print(f"{name}: {cpu:.2f} CPU-s, {wall:.2f} s, {memory:.0f} MB; left {macs:.3f} GMACs, {weights:.2f} M weights")
        ratios = [theirs / ours for ours, theirs in zip(*medians.values())]
        print("Torch-Pruning over skimp: {:.1f} times the CPU seconds, {:.1f} times the wall seconds, {:.1f} times the "
              "memory".format(*ratios))


if __name__ == "__main__":
    main()
