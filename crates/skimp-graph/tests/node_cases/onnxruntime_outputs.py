#!/usr/bin/env python3
"""Runs a network in onnxruntime on seeded random images.

    python onnxruntime_outputs.py MODEL.onnx OUT.bin

writes the inputs, then the outputs, each as u32 rank, u32 extents and f32 elements, little-endian. Open extents become
2 (batch) and 64 (height and width).
"""

import struct
import sys

import numpy as np
import onnxruntime

BATCH, SIDE = 2, 64


def main(model, out):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(7)
    inputs = {}
    for value in session.get_inputs():
        shape = [d if isinstance(d, int) else (BATCH if i == 0 else SIDE) for i, d in enumerate(value.shape)]
        if np.prod(shape) > 100_000:
            shape[0] = 1
        inputs[value.name] = generator.standard_normal(shape, dtype=np.float32)
    outputs = session.run(None, inputs)
    with open(out, "wb") as file:
        for array in list(inputs.values()) + outputs:
            file.write(struct.pack(f"<I{array.ndim}I", array.ndim, *array.shape))
            file.write(np.ascontiguousarray(array, "<f4").tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
