"""Times spiking VGG-small beside spikingjelly: beside_spikingjelly.py [--weights signs|floats] [--steps 8] [--rate 0.1].

    cargo build --release -p skimp-cpu --example evaluate
    python3 crates/skimp-cpu/benches/beside_spikingjelly.py

Needs numpy, onnx, torch and spikingjelly (2.0.0 was tried). Both run the same network on the same image: BinaryNet's six convolutions
and three dense layers, a 2 x 2 max pool in front of every second neuron, integrate-and-fire neurons that fire from their threshold on
and lose it (soft reset), a real image in every step, the last layer's outputs averaged over the steps. Weights are signs of random
numbers, or random numbers. The threshold of each neuron layer is set so that, on average over the steps, `--rate` of its neurons
fire; the rates that came out are printed. Sums of signs are whole numbers and thresholds half ones, so that every spike is the
same in both; of floats the share of equal outputs is printed. One thread, batch 1, CPU-seconds, medians of alternating rounds.
"""

import argparse
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from spikingjelly.activation_based import functional, neuron

ROOT = pathlib.Path(__file__).resolve().parents[3]
WIDTHS = [128, 128, 256, 256, 512, 512]
DENSE = [1024, 1024, 10]


def layers(rng, kind):
    """Weight tensors in order; of signs or of normal numbers."""
    draw = (lambda *shape: np.where(rng.standard_normal(shape) >= 0, 1.0, -1.0).astype(np.float32)) if kind == "signs" else (
        lambda *shape: (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
    )
    channels, weights = 3, []
    for width in WIDTHS:
        weights.append(draw(width, channels, 3, 3))
        channels = width
    inputs = channels * 4 * 4
    for width in DENSE:
        weights.append(draw(width, inputs))
        inputs = width
    return weights


def forward(weights, nodes, x, steps, observe=None):
    """Outputs averaged over the steps; `observe` sees what each neuron layer is given and gives."""
    outputs = 0
    for _ in range(steps):
        y = x
        for idx, weight in enumerate(weights):
            if idx == len(WIDTHS):
                y = y.flatten(1)
            y = torch.nn.functional.conv2d(y, weight, padding=1) if weight.ndim == 4 else y @ weight.T
            if weight.ndim == 4 and idx % 2 == 1:
                y = torch.nn.functional.max_pool2d(y, 2)
            if idx < len(nodes):
                given = y
                y = nodes[idx](y)
                if observe:
                    observe(idx, given, y)
        outputs = outputs + y
    return outputs / steps


def thresholds(weights, x, steps, rate, kind):
    """For each neuron layer, the threshold at which `rate` of its neurons fire, found layer by layer by bisection."""
    found = []
    for idx in range(len(weights) - 1):
        low, high = 1e-3, 1e5
        for _ in range(30):
            middle = (low * high) ** 0.5
            trial = np.floor(middle) + 0.5 if kind == "signs" and idx > 0 else middle
            fired = []
            nodes = [neuron.IFNode(v_threshold=float(t), v_reset=None) for t in [*found, trial]]
            watch = lambda at, _, y: fired.append(float(y.mean())) if at == idx else None
            forward(weights[: idx + 1], nodes, x, steps, watch)
            low, high = (middle, high) if np.mean(fired) > rate else (low, middle)
        found.append(float(np.floor(low) + 0.5 if kind == "signs" and idx > 0 else low))
    return found


def spiking_file(path, weights, found, steps):
    """The network of one step with skimp's neurons."""
    nodes, tensors, value = [], [], "x"
    for idx, weight in enumerate(weights):
        tensors.append(numpy_helper.from_array(weight, f"w{idx}"))
        if idx == len(WIDTHS):
            nodes.append(helper.make_node("Flatten", [value], ["flat"], name="flat", axis=1))
            value = "flat"
        if weight.ndim == 4:
            nodes.append(helper.make_node("Conv", [value, f"w{idx}"], [f"s{idx}"], name=f"conv{idx}", pads=[1, 1, 1, 1]))
        else:
            nodes.append(helper.make_node("Gemm", [value, f"w{idx}"], [f"s{idx}"], name=f"fc{idx}", transB=1))
        value = f"s{idx}"
        if weight.ndim == 4 and idx % 2 == 1:
            nodes.append(helper.make_node("MaxPool", [value], [f"p{idx}"], name=f"pool{idx}", kernel_shape=[2, 2], strides=[2, 2]))
            value = f"p{idx}"
        if idx < len(found):
            settings = {"threshold": found[idx], "reset": "subtract", "reset_time": "same-step"}
            nodes.append(helper.make_node("Neuron", [value], [f"n{idx}"], name=f"neuron{idx}", domain="skimp", **settings))
            value = f"n{idx}"
    graph = helper.make_graph(
        nodes,
        "spiking-vgg-small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, ["N", 10])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid("skimp", 1)], ir_version=8)
    for key, text in {"skimp.time_steps": str(steps), "skimp.join": "mean"}.items():
        model.metadata_props.add(key=key, value=text)
    onnx.save(model, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", choices=["signs", "floats"], default="signs")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--skimp", default=str(ROOT / "target/release/examples/evaluate"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    rng = np.random.default_rng(1)
    weights = layers(rng, given.weights)
    image = rng.uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
    tensors = [torch.from_numpy(weight) for weight in weights]
    x = torch.from_numpy(image)
    found = thresholds(tensors, x, given.steps, given.rate, given.weights)
    nodes = [neuron.IFNode(v_threshold=threshold, v_reset=None) for threshold in found]
    rates = {}
    expected = forward(tensors, nodes, x, given.steps, lambda at, _, y: rates.setdefault(at, []).append(float(y.mean())))
    print("spikes a neuron and step, layer by layer:", " ".join(f"{np.mean(rate):.3f}" for rate in rates.values()))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        spiking_file(folder / "net.onnx", weights, found, given.steps)
        image.tofile(folder / "x.f32")
        command = [given.skimp, folder / "net.onnx", "--packed", "--threads", "1", "--input", folder / "x.f32"]
        command += ["--output", folder / "y.f32", "--serve"]
        ours, theirs = [], []
        with subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as engine:
            for _ in range(given.rounds):
                engine.stdin.write("\n")
                engine.stdin.flush()
                ours.append(float(engine.stdout.readline()))
                functional.reset_net(torch.nn.ModuleList(nodes))
                start = time.process_time()
                forward(tensors, nodes, x, given.steps)
                theirs.append(time.process_time() - start)
            engine.stdin.close()
        y = np.fromfile(folder / "y.f32", np.float32)
        equal = np.mean(np.isclose(y, expected.numpy().ravel(), rtol=1e-5, atol=1e-5))
        print(f"outputs that are equal within 1e-5: {100 * equal:.0f} %")
        a, b = statistics.median(ours), statistics.median(theirs)
        print(f"skimp {1e3 * a:.2f} ms, spikingjelly {1e3 * b:.2f} ms of CPU for {given.steps} steps: {b / a:.1f}x")


if __name__ == "__main__":
    main()
