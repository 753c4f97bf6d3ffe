#!/usr/bin/env python3
"""Writes seeds for fuzzing: the models of ../tests/node_cases/cases.bin.gz to corpus/import, random bytes (a design, its
settings, a layer and values) to corpus/simulate. Needs Python only."""

import gzip
import pathlib
import random
import struct

HERE = pathlib.Path(__file__).parent
WIDTHS = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 11: 8}


def main():
    data = gzip.decompress((HERE / "../tests/node_cases/cases.bin.gz").read_bytes())
    position = 0

    def take(n):
        nonlocal position
        position += n
        return data[position - n : position]

    def number():
        return struct.unpack("<I", take(4))[0]

    folder = HERE / "corpus/import"
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(number()):
        name = take(number()).decode()
        (folder / f"{name}.onnx").write_bytes(take(number()))
        for _ in range(2):
            for _ in range(number()):
                dtype, rank = take(2)
                n_elements = 1
                for _ in range(rank):
                    n_elements *= number()
                take(n_elements * WIDTHS[dtype])
    folder = HERE / "corpus/simulate"
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(256):
        (folder / f"{seed}").write_bytes(bytes([seed]) + random.Random(seed).randbytes(2000))
    (HERE / "corpus/run").mkdir(exist_ok=True)


if __name__ == "__main__":
    main()
