#!/usr/bin/env python3
"""End positions by one dense convolution per bit plane: the straightforward way, in PyTorch or NumPy.

usage: bit_planes_baseline.py DIR LAYER

DIR holds what `cargo bench -p skimp-cpu --bench end -- --dump DIR LAYER` wrote. The end positions and sums are
compared with the dumped ones; the least wall-clock and processor seconds of three runs are printed. Sums are exact:
float64 holds integers below 2^53. Threads as PyTorch (NumPy's BLAS) chooses; OMP_NUM_THREADS sets them.
"""

import sys
import time

import numpy as np

try:
    import torch
except ImportError:
    torch = None

BITS = 16


def plane_weights(weights, plane):
    """0/1 weights of plane 1 (most significant) to BITS of inverted two's complement."""
    return ((-weights >> (BITS - plane)) & 1).astype(np.float64)


def conv_torch(activations, weights):
    x = torch.from_numpy(activations)[None]
    return torch.nn.functional.conv2d(x, torch.from_numpy(weights), padding=1)[0].numpy()


def conv_numpy(activations, weights):
    c, h, w = activations.shape
    padded = np.pad(activations, ((0, 0), (1, 1), (1, 1)))
    columns = np.stack([padded[:, r : r + h, s : s + w] for r in range(3) for s in range(3)], axis=1)
    return (weights.reshape(len(weights), -1) @ columns.reshape(c * 9, h * w)).reshape(-1, h, w)


def end_planes(activations, weights, bias, conv):
    psum = np.repeat(bias.astype(np.float64), activations[0].size).reshape(len(bias), *activations.shape[1:])
    planes = np.full(psum.shape, BITS, dtype=np.uint8)
    running = np.ones(psum.shape, dtype=bool)
    for plane in range(1, BITS + 1):
        plane_sum = conv(activations, plane_weights(weights, plane)) * 2.0 ** (BITS - plane)
        psum = psum + plane_sum if plane == 1 else psum - plane_sum
        stops = running & (psum < 0)
        planes[stops] = plane
        running &= ~stops
    return planes, psum


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    base = f"{sys.argv[1]}/{sys.argv[2]}"
    with open(base + ".txt", encoding="ascii") as extents:
        hw, c, k = map(int, extents.read().split())
    activations = np.fromfile(base + ".activations.i32", "<i4").reshape(c, hw, hw).astype(np.float64)
    weights = np.fromfile(base + ".weights.i32", "<i4").reshape(k, c, 3, 3)
    bias = np.fromfile(base + ".bias.i64", "<i8")
    conv = conv_torch if torch else conv_numpy
    wall, processor = [], []
    for _ in range(3):
        start, start_processor = time.perf_counter(), time.process_time()
        planes, sums = end_planes(activations, weights, bias, conv)
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    if not np.array_equal(planes.ravel(), np.fromfile(base + ".planes.u8", np.uint8)):
        sys.exit("end positions differ")
    if not np.array_equal(sums.ravel(), np.fromfile(base + ".sums.i64", "<i8").astype(np.float64)):
        sys.exit("sums differ")
    library = f"PyTorch {torch.__version__}" if torch else f"NumPy {np.__version__}"
    print(f"{sys.argv[2]}: {min(wall) * 1e3:.0f} ms wall, {min(processor) * 1e3:.0f} ms processor ({library}), results equal")


if __name__ == "__main__":
    main()
