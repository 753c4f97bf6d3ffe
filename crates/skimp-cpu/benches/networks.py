"""Times skimp's executors beside onnxruntime on public networks and prints a table: networks.py FOLDER [FILTER ..] [--int8].

    cargo build --release -p skimp-cpu --example evaluate
    python3 crates/skimp-cpu/benches/networks.py FOLDER [vgg16 resnet ..] [--threads 1] [--batch 1] [--other EVALUATE] [--int8]

Needs numpy, onnxruntime, torch, torchvision, timm and onnx. Networks that FOLDER does not hold yet are written there by
torch, with drawn weights, for images of 224 x 224. The outputs are compared first (`--tolerance`, of the largest output). Then
every engine runs once in each of `--rounds` rounds, one after the other on the same threads and inputs, and the medians of its
CPU-seconds count, as these survive a shared machine; a ratio is the median over the rounds. `--other` adds another build of
the example as a third column.

`--int8` takes five networks in 8 bits instead of all in f32: onnxruntime quantizes them to QDQ form, symmetric weights by channel
and unsigned activations, ranges of four drawn images. ResNet-20 is that of the data folder, where SKIMP_DATA names one.
"""

import argparse
import contextlib
import glob
import math
import os
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
INT8 = ["ResNet-50", "VGG-16", "MobileNetV2", "SqueezeNet-1.1"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("filters", nargs="*", help="parts of names; none: all networks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--int8", action="store_true", help="in 8 bits")
    parser.add_argument("--tolerance", type=float, help="of the largest output [default: 1e-4; 0.02 in 8 bits, a step or two]")
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


def quantize(source, target):
    """Writes a network in QDQ form."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Drawn(CalibrationDataReader):
        def __init__(self, name, shape):
            draw = (np.random.default_rng(seed).standard_normal(shape, dtype=np.float32) for seed in range(4))
            self.images = ({name: images} for images in draw)

        def get_next(self):
            return next(self.images, None)

    with tempfile.TemporaryDirectory() as folder:
        prepared = f"{folder}/prepared.onnx"
        quant_pre_process(str(source), prepared, skip_symbolic_shape=True)
        images = onnxruntime.InferenceSession(prepared, providers=["CPUExecutionProvider"]).get_inputs()[0]
        form = {"quant_format": QuantFormat.QDQ, "per_channel": True}
        types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantize_static(prepared, str(target), Drawn(images.name, (1, *images.shape[1:])), **form, **types)


def models(args):
    """Titles and files; what is not there yet is written."""
    sources = {title: (key, args.folder / f"{key.split('/')[1]}.onnx") for title, key in NETWORKS.items()}
    if args.int8:
        sources = {title: sources[title] for title in INT8}
        if "SKIMP_DATA" in os.environ:
            resnet20 = pathlib.Path(os.environ["SKIMP_DATA"]) / "models/cifar10_resnet20.onnx"
            sources["ResNet-20"] = ("cifar10_resnet20", resnet20)
    for title, (key, model) in sources.items():
        if args.filters and not any(part.lower() in f"{title} {key}".lower() for part in args.filters):
            continue
        if not model.exists():
            write(key, model)
        if args.int8:
            source, model = model, args.folder / f"{model.stem}.qdq.onnx"
            if not model.exists():
                quantize(source, model)
        yield title, model


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
    source = oracle.get_inputs()[0]
    name = source.name
    images = np.random.default_rng(1).standard_normal((args.batch, *source.shape[1:]), dtype=np.float32)
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
    args.tolerance = args.tolerance or (0.02 if args.int8 else 1e-4)
    ratios = []
    other = " other build (ms) | over the other |" if args.other else ""
    print(f"| network | skimp (ms) | onnxruntime (ms) | over onnxruntime | spread |{other}")
    print("|---|---|---|---|---|" + ("---|---|" if args.other else ""))
    for title, model in models(args):
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
    form = "int8" if args.int8 else "f32"
    print(f"\n{form}: geometric mean over onnxruntime {mean:.2f}; threads {args.threads}, batch {args.batch}, {args.rounds} rounds.")


if __name__ == "__main__":
    main()
