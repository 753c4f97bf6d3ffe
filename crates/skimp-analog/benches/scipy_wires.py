"""Reads of an array with resistive wires by skimp beside SciPy's sparse direct solver, in alternation.

    cargo build --release -p skimp-analog --example wires
    python3 crates/skimp-analog/benches/scipy_wires.py [--size 128] [--rounds 5] [--program target/release/examples/wires]

Both solve Kirchhoff's law at the 2 size^2 nodes of one array (4.4 ohm for each segment of both wires, cells of 6 kohm and 900 kohm)
on one thread; SciPy's time is that of `scipy.sparse.linalg.spsolve` on a matrix that is built already, skimp's holds the factors.
Printed are the medians, their ratio, and the largest difference of a column's current. Needs: numpy, scipy (measured with 2.4.6,
1.18.0).
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np
import scipy.sparse
import scipy.sparse.linalg

ROOT = pathlib.Path(__file__).resolve().parents[3]
OHM = 4.4


def system(cells, volts):
    """The nodes' conductances and the currents driven into them: rows' nodes first."""
    rows, columns = cells.shape
    n, segment = rows * columns, 1 / OHM
    node = np.arange(n).reshape(rows, columns)
    pairs = [(node, n + node, cells)]
    pairs.append((node[:, :-1], node[:, 1:], np.full((rows, columns - 1), segment)))
    pairs.append((n + node[:-1], n + node[1:], np.full((rows - 1, columns), segment)))
    i, j, g = (np.concatenate([pair[part].ravel() for pair in pairs]) for part in range(3))
    diagonal = np.bincount(i, g, 2 * n) + np.bincount(j, g, 2 * n)
    diagonal[node[:, 0]] += segment
    diagonal[n + node[-1]] += segment
    entries = np.concatenate([-g, -g, diagonal])
    at = np.arange(2 * n)
    matrix = scipy.sparse.csc_matrix((entries, (np.concatenate([i, j, at]), np.concatenate([j, i, at]))))
    right = np.zeros(2 * n)
    right[node[:, 0]] = segment * volts
    return matrix, right


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "target/release/examples/wires"))
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.rounds):
            command = [args.program, str(args.size), "11", "6000", folder]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            ours.append(float(re.search(r"factor and read ([0-9.]+) ms", said)[1]))
            table = np.loadtxt(f"{folder}/wires.csv", delimiter=",")
            volts, currents, cells = table[:, 0], table[:, 1], table[:, 2:]
            matrix, right = system(cells, volts)
            begin = time.perf_counter()
            found = scipy.sparse.linalg.spsolve(matrix, right)
            theirs.append(1e3 * (time.perf_counter() - begin))
    expected = found[-args.size:] / OHM
    off = np.abs(currents - expected).max() / np.abs(expected).max()
    mine, scipys = statistics.median(ours), statistics.median(theirs)
    print(f"{args.size} x {args.size}: skimp {mine:.2f} ms, SciPy {scipys:.1f} ms, {scipys / mine:.0f} times; "
          f"currents differ by {off:.1e} of the largest")


if __name__ == "__main__":
    main()
