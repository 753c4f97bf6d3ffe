"""Times skimp's CPU executor and onnxruntime in alternation on one ONNX network.

    cargo build --release -p skimp-cpu --example evaluate
    python3 crates/skimp-cpu/benches/onnxruntime_compare.py MODEL.onnx [--threads 2] [--batch 100] [--size 224x224]

Needs numpy and onnxruntime. Both programs get the same number of threads and the same inputs; the outputs are compared
first. Each round runs one after the other, so that both see the same machine; wall-clock seconds and CPU seconds of the
process are printed, as the latter survive a shared machine. onnxruntime's threads do not spin between its runs, or they
would take the cores from skimp; `--spin` leaves its default. A network in QDQ form runs on skimp's 8-bit executor;
`--tolerance 0.02` allows it a step or two of its codes.
"""

import argparse
import glob
import pathlib
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[3]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--size", help="HxW where the network leaves it open")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--spin", action="store_true")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of the largest output; 0.02 for 8 bits")
    parser.add_argument("--skimp", default=str(ROOT / "target/release/examples/evaluate"))
    return parser.parse_args()


def session(model, threads, spin):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if not spin:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def cpu_seconds(pid):
    total = sum(int(pathlib.Path(f).read_text().split()[0]) for f in glob.glob(f"/proc/{pid}/task/*/schedstat"))
    return total / 1e9


def main():
    args = arguments()
    oracle = session(args.model, args.threads, args.spin)
    x = oracle.get_inputs()[0]
    size = [int(extent) for extent in args.size.split("x")] if args.size else [None, None]
    closed = [args.batch, 3, *size]
    shape = [extent if isinstance(extent, int) else closed[axis] for axis, extent in enumerate(x.shape)]
    shape[0] = args.batch
    images = np.random.default_rng(1).random(shape, dtype=np.float32)
    expected = oracle.run(None, {x.name: images})[0]

    with tempfile.TemporaryDirectory() as folder:
        source, target = pathlib.Path(folder, "x.f32"), pathlib.Path(folder, "y.f32")
        images.tofile(source)
        command = [args.skimp, args.model, "--threads", str(args.threads), "--batch", str(args.batch), "--serve"]
        command += ["--input", str(source), "--output", str(target)] + (["--size", args.size] if args.size else [])
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as skimp:

            def run_skimp():
                skimp.stdin.write("\n")
                skimp.stdin.flush()
                return float(skimp.stdout.readline())

            run_skimp()
            found = np.fromfile(target, np.float32).reshape(expected.shape)
            scale = np.abs(expected).max()
            print(f"largest difference {np.abs(found - expected).max():.3e}, largest output {scale:.3e}")
            assert np.abs(found - expected).max() <= args.tolerance * scale
            rows = []
            for _ in range(args.rounds):
                start, start_cpu = time.perf_counter(), time.process_time()
                oracle.run(None, {x.name: images})
                ort = time.perf_counter() - start, time.process_time() - start_cpu
                start_cpu = cpu_seconds(skimp.pid)
                wall = run_skimp()
                rows.append((wall, cpu_seconds(skimp.pid) - start_cpu, *ort))
            skimp.stdin.close()

    rate = args.batch / np.array(rows)
    for column, name in [(0, "wall-clock"), (1, "CPU")]:
        ours, theirs = rate[:, column], rate[:, column + 2]
        print(
            f"images per {name} second, best (median): skimp {ours.max():.1f} ({np.median(ours):.1f}), "
            f"onnxruntime {theirs.max():.1f} ({np.median(theirs):.1f}), "
            f"ratio {ours.max() / theirs.max():.2f} ({np.median(ours / theirs):.2f})"
        )


if __name__ == "__main__":
    main()
