"""What Python adds to a call of Rust: run it with the package installed, `python python/benches/overhead.py`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import skimp
from skimp import _native
from skimp import accelerator as own


class Fixed(skimp.Accelerator):
    """Returns one result whatever it sees."""

    name = "fixed"
    reads = ("activation", "weights")

    def simulate_layer(self, layer: skimp.Layer, trace: skimp.Trace) -> skimp.LayerResult:
        return skimp.LayerResult({"compute": 1}, {"executed_macs": layer.dense_macs}, [own.off_chip_bits(1)])


class Zeros(Fixed):
    """Counts the activations that are not zero, window by window."""

    name = "zeros"

    def simulate_layer(self, layer: skimp.Layer, trace: skimp.Trace) -> skimp.LayerResult:
        executed = int(np.count_nonzero(layer.windows(trace.activation))) * layer.k // layer.groups
        return skimp.LayerResult({"compute": executed}, {"executed_macs": executed}, [own.off_chip_bits(1)])


def measured(call: Callable[[], Any], n: int = 40) -> tuple[float, float, float]:
    """Least milliseconds of a call; the least and the median of what it adds to Rust."""
    walls, added = [], []
    call()
    for _ in range(n):
        start = time.perf_counter()
        call()
        wall = time.perf_counter() - start
        walls.append(1e3 * wall)
        added.append(1e3 * (wall - _native.last_seconds()))
    return min(walls), min(added), statistics.median(added)


def main() -> None:
    network = skimp.load("sample-resnet")
    images = np.zeros((1, 1, 28, 28), np.float32)
    calls: dict[str, Callable[[], Any]] = {
        "run, one image": lambda: network.run(images),
        "inspect": lambda: network.inspect(),
        "simulate": lambda: network.simulate(accelerator="cnvlutin", data="sample"),
        "simulate, 7 designs": lambda: network.simulate(
            accelerator="compend,cnvlutin,stripes,dadiannao,eyeriss,systolic,snapea", data="sample"
        ),
        "simulate, .to_dict()": lambda: network.simulate(accelerator="cnvlutin", data="sample").to_dict(),
    }
    print(f"{'call':24}{'wall ms':>10}{'added ms':>10}{'median':>10}")
    for name, call in calls.items():
        wall, added, median = measured(call)
        print(f"{name:24}{wall:10.3f}{added:10.3f}{median:10.3f}")

    layers = len(network.simulate(accelerator=Fixed, data="sample").accelerators[0].layers)
    images_of, base = 32, 0.0
    print(f"\n{f'a design, {images_of} images':24}{'wall ms':>10}{'ratio':>10}{'us a layer more':>17}")
    for design in ("cnvlutin", "compend", Fixed, Zeros):
        wall, _, _ = measured(lambda d=design: network.simulate(accelerator=d, data="sample", images=images_of), 15)  # type: ignore[misc]
        base = base or wall
        name = design if isinstance(design, str) else f"{design.name}, in Python"
        print(f"{name:24}{wall:10.3f}{wall / base:10.2f}{1e3 * (wall - base) / (images_of * layers):17.1f}")

    rng = np.random.default_rng(0)
    for dtype in (np.uint8, np.float32):
        pixels = rng.integers(0, 256, (10_000, 3, 32, 32)).astype(dtype)
        labels = rng.integers(0, 10, 10_000)
        start = time.perf_counter()
        data = skimp.arrays(pixels, labels)
        entered = time.perf_counter() - start
        start = time.perf_counter()
        pixels.copy()
        copied = time.perf_counter() - start
        print(f"\n{len(data)} images of {np.dtype(dtype)} enter in {1e3 * entered:.1f} ms; a copy takes {1e3 * copied:.1f} ms")


if __name__ == "__main__":
    main()
