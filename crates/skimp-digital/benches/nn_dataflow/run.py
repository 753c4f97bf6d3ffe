#!/usr/bin/env python3
"""nn-dataflow and skimp side by side: schedules of one row-stationary engine, and how fast they are found.

    python3 crates/skimp-digital/benches/nn_dataflow/run.py [--venv DIR]

Installs the pinned packages into a temporary folder (or uses an environment that has them), lets nn-dataflow 2.1 search the
best schedule of every layer, lets skimp search the same layers, and prints a table. Needs network access; no part of the
tests. Linux. CPU-seconds of one process, on both sides.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

PINNED = ["nn-dataflow==2.1", "sympy==1.5.1", "fastcache==1.1.0", "mpmath==1.3.0"]
HERE = Path(__file__).resolve().parent
ARRAY, BUFFER_BYTES, REGISTER_BYTES, COSTS = [12, 14], 110_592, 522, [200, 6, 2, 1]


def peer(python, network, goal):
    config = {"network": network, "array": ARRAY, "buffer_bytes": BUFFER_BYTES, "register_bytes": REGISTER_BYTES,
              "costs": COSTS, "goal": goal, "batch": 1}
    done = subprocess.run([python, HERE / "peer.py", json.dumps(config)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def ours(layers, goal):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        for layer in layers:
            listed.write(" ".join(str(layer[key]) for key in ("name", "c", "k", "h", "w", "r", "s", "stride")) + "\n")
        listed.flush()
        numbers = [str(number) for number in (*ARRAY, BUFFER_BYTES, REGISTER_BYTES)]
        command = ["cargo", "bench", "-q", "-p", "skimp-digital", "--bench", "nn_dataflow", "--", listed.name, *numbers, goal]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=HERE)
    found = {"layers": []}
    for kind, *fields in (line.split() for line in done.stdout.splitlines()):
        if kind == "seconds":
            found["seconds"] = float(fields[0])
        elif kind == "layer":
            found["layers"].append(dict(zip(("cycles", "cost", "dram", "buffer", "array"), map(float, fields[1:]))))
    assert len(found["layers"]) == len(layers)
    return found


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--venv", help="an environment that has the packages")
    venv = arguments.parse_args().venv
    with tempfile.TemporaryDirectory() as folder:
        if venv is None:
            venv = folder
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            subprocess.run([Path(folder) / "bin" / "pip", "install", "-q", *PINNED], check=True)
        python = Path(venv) / "bin" / "python"
        print("network goal | CPU-s/network: nn-dataflow, skimp, ratio | skimp / nn-dataflow: cycles, cost, DRAM words | "
              "layers with more cycles, with more cost")
        for network in ("vgg_net", "resnet50"):
            for goal in ("e", "d"):
                theirs = peer(python, network, goal)
                own = ours(theirs["layers"], goal)
                pairs = list(zip(own["layers"], theirs["layers"]))
                share = {key: sum(a[key] for a, _ in pairs) / sum(b[key] for _, b in pairs)
                         for key in ("cycles", "cost", "dram")}
                more = {key: sum(a[key] > b[key] * (1 + 1e-9) for a, b in pairs) for key in ("cycles", "cost")}
                print(f"{network} {goal} | {theirs['seconds']:.2f}, {own['seconds']:.6f}, "
                      f"{theirs['seconds'] / own['seconds']:.0f} | {share['cycles']:.4f}, {share['cost']:.4f}, "
                      f"{share['dram']:.4f} | {more['cycles']}, {more['cost']} of {len(pairs)}; "
                      f"{sum(b['cycles'] for _, b in pairs):.0f} cycles there", flush=True)


if __name__ == "__main__":
    main()
