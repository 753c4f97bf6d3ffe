#!/usr/bin/env python3
"""Runs a network in onnxruntime on seeded random images.

    python onnxruntime_outputs.py MODEL.onnx OUT.bin [MODEL.onnx OUT.bin ...]

checks each model (where the `onnx` package is there) and writes the inputs, then the outputs, each as u32 rank, u32 extents and f32 elements, little-endian. Open extents become
2 (batch) and 64 (height and width).
"""

import struct
import sys

import numpy as np
import onnxruntime

try:
    import onnx
except ImportError:
    onnx = None

BATCH, SIDE = 2, 64


def run(model, out):
    if onnx is not None:
        onnx.checker.check_model(model, full_check=True)
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
    for value, array in zip(session.get_outputs(), outputs):
        stated = [d for d in value.shape if isinstance(d, int)]
        found = [a for a, d in zip(array.shape, value.shape) if isinstance(d, int)]
        assert len(value.shape) == array.ndim and stated == found, f"{value.name}: {value.shape} states, {array.shape} is"
    with open(out, "wb") as file:
        for array in list(inputs.values()) + outputs:
            file.write(struct.pack(f"<I{array.ndim}I", array.ndim, *array.shape))
            file.write(np.ascontiguousarray(array, "<f4").tobytes())


if __name__ == "__main__":
    for model, out in zip(sys.argv[1::2], sys.argv[2::2]):
        run(model, out)
