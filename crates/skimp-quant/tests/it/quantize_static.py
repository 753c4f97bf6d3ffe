"""Quantizes float networks with onnxruntime: quantize_static.py (FLOAT.onnx KIND OUT.onnx)...

KIND is ACTIVATIONS-WEIGHTS[-symmetric][-channel], say u8-s8-channel. Calibration data are normal numbers, shifted by 0.3.
"""
import sys

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

TYPES = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}


class Reader(CalibrationDataReader):
    def __init__(self, path):
        graph = onnx.load(path).graph
        rng = np.random.default_rng(5)
        batches = []
        for _ in range(2):
            batch = {}
            for value in graph.input:
                shape = [d.dim_value if d.HasField("dim_value") else 4 for d in value.type.tensor_type.shape.dim]
                batch[value.name] = (rng.standard_normal(shape) + 0.3).astype(np.float32)
            batches.append(batch)
        self.batches = iter(batches)

    def get_next(self):
        return next(self.batches, None)


for path, kind, out in zip(*[iter(sys.argv[1:])] * 3):
    activations, weights, *rest = kind.split("-")
    quantize_static(
        path,
        out,
        Reader(path),
        quant_format=QuantFormat.QDQ,
        activation_type=TYPES[activations],
        weight_type=TYPES[weights],
        per_channel="channel" in rest,
        extra_options={"ActivationSymmetric": "symmetric" in rest},
    )
