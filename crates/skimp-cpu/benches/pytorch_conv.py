"""Times skimp's training kernels and PyTorch's (oneDNN, channels_last) in alternation, layer by layer.

    python3 crates/skimp-cpu/benches/pytorch_conv.py [--threads 1] [--only TEXT] [--arithmetic f32|bf16] [--rounds 5]

Needs torch. Both sides run the same layers on a batch of 64, one after the other in each round, so that both see the
same machine. GFLOP/s of the fastest run on each side; a ratio above 1 means that skimp is faster.
"""

import argparse
import pathlib
import re
import subprocess
import time

import torch

ROOT = pathlib.Path(__file__).resolve().parents[3]
PASSES = ["forward", "dgrad", "wgrad"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--arithmetic", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def layers():
    """The bench's own table."""
    source = (ROOT / "crates/skimp-cpu/benches/nhwc.rs").read_text()
    pattern = r'\("([^"]+)", (\d+), \[(\d+), (\d+)\], (\d+), (\d+), (\d+)\)'
    return [(row[0], *map(int, row[1:])) for row in re.findall(pattern, source)]


def operands(layer, dtype):
    _, extent, c, k, kernel, stride, pad = layer
    if extent == 1:
        return torch.rand(64, c, dtype=dtype), torch.rand(k, c, dtype=dtype), torch.rand(64, k, dtype=dtype)
    last = {"dtype": dtype, "memory_format": torch.channels_last}
    outputs = (extent + 2 * pad - kernel) // stride + 1
    shapes = [(64, c, extent, extent), (k, c, kernel, kernel), (64, k, outputs, outputs)]
    return tuple((torch.rand(*shape) - 0.5).to(**last) for shape in shapes)


def run(layer, tensors, which):
    _, extent, _, _, _, stride, pad = layer
    x, w, dy = tensors
    if extent == 1:
        return [lambda: x @ w.T, lambda: dy @ w, lambda: dy.T @ x][which]()
    if which == 0:
        return torch.nn.functional.conv2d(x, w, None, stride, pad)
    mask = [which == 1, which == 2, False]
    strides, pads = [stride, stride], [pad, pad]
    return torch.ops.aten.convolution_backward(dy, x, w, None, strides, pads, [1, 1], False, [0, 0], 1, mask)


def seconds(layer, tensors, which):
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        run(layer, tensors, which)
        best = min(best, time.perf_counter() - start)
    return best


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    dtype = torch.bfloat16 if args.arithmetic == "bf16" else torch.float32
    command = ["cargo", "bench", "-q", "-p", "skimp-cpu", "--bench", "nhwc", "--", "--serve"]
    command += ["--threads", str(args.threads), "--arithmetic", args.arithmetic]
    skimp = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    print(f"{'layer':18}" + "".join(f"{name:>9}{'torch':>8}{'ratio':>7}" for name in PASSES))
    torch.set_grad_enabled(False)
    for layer in (row for row in layers() if args.only in row[0]):
        _, extent, c, k, kernel, stride, pad = layer
        outputs = (extent + 2 * pad - kernel) // stride + 1
        flops = 2 * 64 * outputs**2 * kernel**2 * c * k
        tensors = operands(layer, dtype)
        line = f"{layer[0]:18}"
        for which, name in enumerate(PASSES):
            best = [float("inf")] * 2
            run(layer, tensors, which)
            for _ in range(args.rounds):
                skimp.stdin.write(f"{layer[0]} {name}\n")
                skimp.stdin.flush()
                best[0] = min(best[0], float(skimp.stdout.readline()))
                best[1] = min(best[1], seconds(layer, tensors, which))
            line += f"{flops / best[0] / 1e9:9.1f}{flops / best[1] / 1e9:8.1f}{best[1] / best[0]:7.2f}"
        print(line, flush=True)
    skimp.stdin.close()
    skimp.wait()


if __name__ == "__main__":
    main()
