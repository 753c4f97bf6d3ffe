"""Times the way from a file to its first answer beside onnxruntime, and the memory that it takes: startup.py FOLDER [FILTER ..].

    cargo build --release -p skimp-cpu --example evaluate
    python3 crates/skimp-cpu/benches/startup.py FOLDER [vgg16 resnet ..] [--threads 1]

Needs what networks.py needs, which writes the networks that FOLDER does not hold yet. In each of `--rounds` rounds both start
anew, in a process of their own and on the same image. skimp: CPU-seconds and greatest resident memory of the whole process,
from its start until the outputs are written. onnxruntime: CPU-seconds of making the session and of its first run,
and the greatest resident memory of its process less what the interpreter and the imported packages took before the session.
Medians count, and a ratio is the median over the rounds. Outputs are compared by networks.py.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from networks import NETWORKS, ROOT, SIZE, cpu_seconds, write

ORACLE = """
import sys, time
import numpy, onnxruntime
def memory(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))
model, threads, images = sys.argv[1:]
images = numpy.fromfile(images, numpy.float32).reshape(1, 3, %d, %d)
before, start = memory("VmRSS"), time.process_time()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
session.run(None, {session.get_inputs()[0].name: images})
print(time.process_time() - start, memory("VmHWM") - before)
""" % (SIZE, SIZE)


def run_skimp(command, target):
    """CPU-seconds and KiB of a process that loads the network and runs it once, which is when it has written its outputs and
    waits."""
    target.unlink(missing_ok=True)
    with subprocess.Popen([*command, "--output", str(target)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        status = pathlib.Path(f"/proc/{process.pid}/status")
        while not target.exists() or "State:\tS" not in status.read_text():
            assert process.poll() is None, command
            time.sleep(0.002)
        seconds = cpu_seconds(process.pid)
        memory = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        process.stdin.close()
    return seconds, memory


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("filters", nargs="*", help="parts of names; none: all networks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--skimp", default=str(ROOT / "target/release/examples/evaluate"))
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print("| network | skimp (ms) | onnxruntime (ms) | skimp over it | skimp (MiB) | onnxruntime (MiB) | skimp over it |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    times, memories = [], []
    for label, key in NETWORKS.items():
        if args.filters and not any(part in key for part in args.filters):
            continue
        model = args.folder / f"{key.split('/')[1]}.onnx"
        if not model.exists():
            write(key, model)
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "x.f32"
            np.random.default_rng(1).standard_normal((1, 3, SIZE, SIZE), dtype=np.float32).tofile(source)
            command = [args.skimp, str(model), "--threads", str(args.threads), "--batch", "1", "--serve"]
            command += ["--input", str(source)]
            rounds = []
            for _ in range(args.rounds):
                own = run_skimp(command, pathlib.Path(folder) / "y.f32")
                oracle = [sys.executable, "-c", ORACLE, str(model), str(args.threads), str(source)]
                other = subprocess.run(oracle, check=True, capture_output=True, text=True).stdout.split()
                rounds.append([*own, float(other[0]), float(other[1])])
        seconds, memory, other_seconds, other_memory = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratio = statistics.median(own / other for own, _, other, _ in rounds)
        size = statistics.median(own / other for _, own, _, other in rounds)
        times.append(ratio)
        memories.append(size)
        print(
            f"| {label} | {1e3 * seconds:.1f} | {1e3 * other_seconds:.1f} | {ratio:.2f} "
            f"| {memory / 1024:.0f} | {other_memory / 1024:.0f} | {size:.2f} |",
            flush=True,
        )
    print(f"geometric means: time {statistics.geometric_mean(times):.2f}, memory {statistics.geometric_mean(memories):.2f}")


if __name__ == "__main__":
    main()
