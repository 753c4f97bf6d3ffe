"""Times skimp's f32 executor beside onnxruntime on public networks and prints a table: networks.py FOLDER [FILTER ..].

    cargo build --release -p skimp-cpu --example evaluate
    python3 crates/skimp-cpu/benches/networks.py FOLDER [vgg16 resnet ..] [--threads 1] [--batch 1] [--other EVALUATE]

Needs numpy, onnxruntime, torch, torchvision, timm and onnx. Networks that FOLDER does not hold yet are written there by
torch, with drawn weights, for images of 224 x 224. The outputs are compared first (`--tolerance`, of the largest output). Then
every engine runs once in each of `--rounds` rounds, one after the other on the same threads and inputs, and the medians of its
CPU-seconds count, as these survive a shared machine; a ratio is the median over the rounds. `--other` adds another build of
the example as a third column.
"""

import argparse
import contextlib
import glob
import math
import pathlib
import statistics
import subprocess
import tempfile
import time
import warnings

import numpy as np
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[3]
SIZE = 224
# Where each comes from, and its name there.
NETWORKS = {
    "VGG-16": "torchvision/vgg16",
    "ResNet-18": "torchvision/resnet18",
    "ResNet-50": "torchvision/resnet50",
    "MobileNetV2": "torchvision/mobilenet_v2",
    "MNASNet-1.0": "torchvision/mnasnet1_0",
    "RegNetX-400M": "torchvision/regnet_x_400mf",
    "GhostNet": "timm/ghostnet_100",
    "SqueezeNet-1.1": "torchvision/squeezenet1_1",
    "DenseNet-121": "torchvision/densenet121",
    "GoogLeNet": "torchvision/googlenet",
    "VoVNet-19": "timm/ese_vovnet19b_dw",
    "MobileNetV3-small": "torchvision/mobilenet_v3_small",
    "RegNetY-400M": "torchvision/regnet_y_400mf",
    "EfficientNet-B0": "torchvision/efficientnet_b0",
    "ConvNeXt-atto": "timm/convnext_atto",
    "ViT-tiny": "timm/vit_tiny_patch16_224",
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("filters", nargs="*", help="parts of names; none: all networks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of the largest output")
    parser.add_argument("--skimp", default=str(ROOT / "target/release/examples/evaluate"))
    parser.add_argument("--other", help="another build of it")
    return parser.parse_args()


def write(key, path):
    """Writes the network with drawn weights; statistics of batch normalization are those of noise, so that no value vanishes."""
    import torch

    warnings.filterwarnings("ignore")
    source, name = key.split("/")
    torch.manual_seed(1)
    if source == "timm":
        import timm

        network = timm.create_model(name, pretrained=False)
    else:
        import torchvision

        settings = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        network = torchvision.models.get_model(name, weights=None, **settings)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(4, 3, SIZE, SIZE))
    axes = {"x": {0: "batch"}, "y": {0: "batch"}}
    options = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": axes, "opset_version": 18}
    torch.onnx.export(network.eval(), (torch.randn(2, 3, SIZE, SIZE),), str(path), dynamo=False, **options)


def cpu_seconds(pid):
    total = sum(int(pathlib.Path(f).read_text().split()[0]) for f in glob.glob(f"/proc/{pid}/task/*/schedstat"))
    return total / 1e9


@contextlib.contextmanager
def served(program, model, args, source, target):
    """A function that runs the network once and gives the CPU-seconds."""
    command = [program, str(model), "--threads", str(args.threads), "--batch", str(args.batch), "--serve"]
    command += ["--input", str(source), "--output", str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:

        def run():
            start = cpu_seconds(process.pid)
            process.stdin.write("\n")
            process.stdin.flush()
            float(process.stdout.readline())
            return cpu_seconds(process.pid) - start

        yield run
        process.stdin.close()


def measure(model, args):
    """Rounds of CPU-seconds: skimp, onnxruntime and, where there is one, the other build."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    oracle = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = oracle.get_inputs()[0].name
    images = np.random.default_rng(1).standard_normal((args.batch, 3, SIZE, SIZE), dtype=np.float32)
    expected = oracle.run(None, {name: images})[0]

    def run_oracle():
        start = time.process_time()
        oracle.run(None, {name: images})
        return time.process_time() - start

    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = folder / "x.f32"
        images.tofile(source)
        runs = [run_oracle]
        for idx, program in enumerate(filter(None, [args.skimp, args.other])):
            target = folder / f"y{idx}.f32"
            runs.insert(2 * idx, stack.enter_context(served(program, model, args, source, target)))
            runs[2 * idx]()
            found = np.fromfile(target, np.float32).reshape(expected.shape)
            difference = np.abs(found - expected).max() / np.abs(expected).max()
            assert difference <= args.tolerance, f"{program}: {difference:.1e} off"
        return [[run() for run in runs] for _ in range(args.rounds)]


def main():
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    ratios = []
    other = " other build (ms) | over the other |" if args.other else ""
    print(f"| network | skimp (ms) | onnxruntime (ms) | over onnxruntime | spread |{other}")
    print("|---|---|---|---|---|" + ("---|---|" if args.other else ""))
    for title, key in NETWORKS.items():
        if args.filters and not any(part.lower() in f"{title} {key}".lower() for part in args.filters):
            continue
        model = args.folder / f"{key.split('/')[1]}.onnx"
        if not model.exists():
            write(key, model)
        rounds = measure(model, args)
        medians = [statistics.median(times) * 1e3 for times in zip(*rounds)]
        quotients = sorted(theirs / ours for ours, theirs, *_ in rounds)
        ratios.append(statistics.median(quotients))
        low, high = (quotients[int(len(quotients) * part)] for part in (0.1, 0.9))
        row = f"| {title} | {medians[0]:.2f} | {medians[1]:.2f} | **{ratios[-1]:.2f}** | {low:.2f} to {high:.2f} |"
        if args.other:
            row += f" {medians[2]:.2f} | {statistics.median(times[2] / times[0] for times in rounds):.2f} |"
        print(row, flush=True)
    mean = math.exp(statistics.fmean(map(math.log, ratios)))
    print(f"\nGeometric mean over onnxruntime: {mean:.2f}; threads {args.threads}, batch {args.batch}, {args.rounds} rounds.")


if __name__ == "__main__":
    main()
