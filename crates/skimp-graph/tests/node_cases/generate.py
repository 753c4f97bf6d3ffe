#!/usr/bin/env python3
"""Collects the backend node tests of the `onnx` package for the operators that skimp imports.

    python generate.py [--full] [DIR]

writes DIR/cases.bin.gz, DIR/cases.sha256 and DIR/skipped.txt (DIR: this folder). Needs `onnx` (use 1.16.2, whose
newest operator set is 21, so that every case is in range) and numpy. Without --full, cases above 64 KiB are left out to
keep the archive small enough for the repository. The format is described in README.md.
"""

import argparse
import gzip
import hashlib
import pathlib
import struct
import sys

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

OPERATORS = set(
    """Conv Gemm MatMul BatchNormalization LRN Relu LeakyRelu PRelu Clip Sigmoid HardSigmoid HardSwish Tanh Sign Softmax
    Add Sub Mul Div Concat Split Slice Pad MaxPool AveragePool GlobalAveragePool GlobalMaxPool ReduceMean Flatten
    Reshape Transpose Squeeze Unsqueeze Dropout Identity Constant Cast QuantizeLinear DequantizeLinear""".split()
)
# Inputs that fix the meaning of a node. skimp wants them known at import, so they become initializers.
PARAMETERS = {
    "Clip": (1, 2),
    "Dropout": (1, 2),
    "Pad": (1, 2, 3),
    "ReduceMean": (1,),
    "Reshape": (1,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
}
MIN_OPSET, MAX_OPSET = 7, 21
MAX_CASE_BYTES = 64 * 1024
T = onnx.TensorProto
DTYPES = {T.FLOAT, T.DOUBLE, T.INT64, T.INT32, T.INT16, T.INT8, T.UINT16, T.UINT8, T.BOOL}
TRAINING = "training mode"
# Cases whose expected values onnx 1.16.2 computes wrongly. Later releases and onnxruntime give what skimp gives.
WRONG = {
    "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True": "wrong divisor, corrected in a later release of onnx",
}


def skip_reason(model, data_sets):
    """Why skimp cannot run the case, or None."""
    version = model.opset_import[0].version
    if version > MAX_OPSET:
        return f"operator set {version}"
    for value in list(model.graph.input) + list(model.graph.output):
        if not value.type.HasField("tensor_type"):
            return f"value of type {value.type.WhichOneof('value')}"
        dtype = value.type.tensor_type.elem_type
        if dtype not in DTYPES:
            return f"element type {T.DataType.Name(dtype)}"
    for node in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "BatchNormalization" and attributes.get("training_mode", 0):
            return TRAINING
        if node.op_type == "Dropout" and len(node.input) > 2 and np.any(data_sets[0][0][2]):
            return TRAINING
        if node.op_type == "MaxPool" and len(node.output) > 1:
            return "the Indices output of MaxPool"
        if attributes.get("block_size", 0):
            return "scales per block"
    return None


def freeze_parameters(model, arrays):
    """Turns parameter inputs into initializers; returns the arrays that stay inputs."""
    names = [value.name for value in model.graph.input]
    frozen = set()
    for node in model.graph.node:
        for position in PARAMETERS.get(node.op_type, ()):
            if position < len(node.input) and node.input[position] in names:
                frozen.add(node.input[position])
    kept_inputs, kept_arrays = [], []
    for value, array in zip(list(model.graph.input), arrays):
        if value.name in frozen:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), value.name))
        else:
            kept_inputs.append(value)
            kept_arrays.append(np.asarray(array))
    del model.graph.input[:]
    model.graph.input.extend(kept_inputs)
    return kept_arrays


def as_computed(array, model, inputs):
    """Some expected values of Gemm are float64 for float32 inputs, by an oversight of NumPy promotion."""
    array = np.asarray(array)
    if model.graph.node[0].op_type == "Gemm" and inputs[0].dtype == np.float32:
        return array.astype(np.float32)
    return array


def tensor_bytes(array):
    array = np.asarray(array)
    number = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    header = struct.pack("<BB", number, array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder("<")).tobytes()


def case_bytes(name, model, inputs, outputs):
    encoded, label = model.SerializeToString(), name.encode()
    parts = [struct.pack("<I", len(label)), label, struct.pack("<I", len(encoded)), encoded]
    for arrays in (inputs, outputs):
        parts.append(struct.pack("<I", len(arrays)))
        parts.extend(tensor_bytes(array) for array in arrays)
    return b"".join(parts)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    options = parser.parse_args()

    cases, skipped = [], []
    for case in sorted(collect_testcases(None), key=lambda case: case.name):
        if not all(node.op_type in OPERATORS for node in case.model.graph.node):
            continue
        reason = WRONG.get(case.name) or skip_reason(case.model, case.data_sets)
        if reason is None:
            model = onnx.ModelProto()
            model.CopyFrom(case.model)
            # A case is stamped with the operator set in which its operator got its newest form. Forms from before
            # opset 7 are still in force there.
            model.opset_import[0].version = max(model.opset_import[0].version, MIN_OPSET)
            inputs, outputs = case.data_sets[0]
            outputs = [as_computed(array, model, inputs) for array in outputs]
            encoded = case_bytes(case.name, model, freeze_parameters(model, inputs), outputs)
            if options.full or len(encoded) <= MAX_CASE_BYTES:
                cases.append(encoded)
                continue
            reason = f"{len(encoded)} bytes (part of the full set)"
        skipped.append(f"{case.name}: {reason}\n")

    options.folder.mkdir(parents=True, exist_ok=True)
    archive = gzip.compress(struct.pack("<I", len(cases)) + b"".join(cases), compresslevel=9, mtime=0)
    (options.folder / "cases.bin.gz").write_bytes(archive)
    (options.folder / "cases.sha256").write_text(hashlib.sha256(archive).hexdigest() + "\n")
    header = f"# Cases of onnx {onnx.__version__} that are not in cases.bin.gz, and why. Written by generate.py.\n"
    (options.folder / "skipped.txt").write_text(header + "".join(skipped))
    print(f"{len(cases)} cases, {len(skipped)} skipped, {len(archive)} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
