#!/usr/bin/env python3
"""Collects the backend node tests of the `onnx` package for the operators that skimp imports.

    python generate.py [--full] [DIR]

writes DIR/cases.bin.gz, DIR/cases.sha256 and DIR/skipped.txt (DIR: this folder). Needs `onnx` (1.23.2, whose
newest operator set is 28) and numpy. Without --full, cases above 64 KiB are left out to
keep the archive small enough for the repository. The format is described in README.md.
"""

import argparse
import gzip
import hashlib
import pathlib
import re
import struct
import sys

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

HERE = pathlib.Path(__file__).parent
ONNX = HERE.parent.parent / "src"


def operators():
    """Names of the operators of ONNX's own domain that skimp imports, from its sources."""
    found = set()
    for file in (ONNX / "ops").glob("*.rs"):
        found.update(re.findall(r'const NAME: &\'static str = "(\w+)"', file.read_text()))
    for file in (ONNX / "onnx" / "calculations").glob("*.rs"):
        found.update(re.findall(r'fn name\(&self\) -> &\'static str {\s*"(\w+)"', file.read_text()))
    for file in (ONNX / "onnx" / "functions").glob("*.rs"):
        found.update(re.findall(r'domain: "",\s*name: "(\w+)"', file.read_text()))
        found.update(re.findall(r'standard\(\s*"(\w+)"', file.read_text()))
    return found


OPERATORS = operators()
# Inputs that fix the meaning of a node. skimp wants them known at import, so they become initializers.
PARAMETERS = {
    "AffineGrid": (1,),
    "BlackmanWindow": (0,),
    "Clip": (1, 2),
    "ConstantOfShape": (0,),
    "CumSum": (1,),
    "DFT": (1, 2),
    "Dropout": (1, 2),
    "Expand": (1,),
    "HammingWindow": (0,),
    "HannWindow": (0,),
    "Loop": (0, 1),
    "MaxUnpool": (2,),
    "MelWeightMatrix": (0, 1, 2, 3, 4),
    "OneHot": (1,),
    "Pad": (1, 2, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "STFT": (1, 2, 3),
    "SequenceAt": (1,),
    "SequenceInsert": (2,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "SplitToSequence": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
} | {name: (1,) for name in OPERATORS if name.startswith("Reduce")}
MIN_OPSET, MAX_OPSET = 7, 28
MAX_CASE_BYTES = 64 * 1024
T = onnx.TensorProto
DTYPES = {T.FLOAT, T.DOUBLE, T.INT64, T.INT32, T.INT16, T.INT8, T.UINT16, T.UINT8, T.BOOL}
TRAINING = "training mode"
RESIZE = "aligned corners of a fractional extent: not as ONNX's text and onnxruntime"
# Cases whose expected values onnx computes wrongly. Later releases and onnxruntime give what skimp gives.
WRONG = {
    "test_averagepool_2d_ceil_last_window_starts_on_pad": "expected values rounded to four digits",
    "test_gridsample_bicubic": "expected values rounded to four digits",
    "test_resize_downsample_scales_cubic_align_corners": RESIZE,
    "test_resize_downsample_scales_linear_align_corners": RESIZE,
    "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True": "wrong divisor, corrected in a later release of onnx",
}


def all_nodes(graph):
    """The nodes of a graph and of the graphs in their attributes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from all_nodes(attribute.g)


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
    if any(np.asarray(array).dtype.kind not in "fiub" for arrays in data_sets[0] for array in arrays):
        return "strings"
    for node in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Dropout" and len(node.input) > 2 and np.any(data_sets[0][0][2]):
            return TRAINING
        if attributes.get("block_size", 0):
            return "scales per block of values that are computed"
        if node.op_type == "Loop" and node.input[0] in {output for other in model.graph.node for output in other.output}:
            return "stacked results of a loop whose end the data decide"
        if node.op_type == "Scan" and version < 9:
            return "Scan of operator set 8"
        if node.op_type == "Attention" and attributes.get("softmax_precision", 1) not in (1, 11):
            return "softmax in half precision"
        if node.op_type == "LpPool" and attributes.get("ceil_mode", 0):
            return "LpPool with windows beyond the padding"
        if attributes.get("coordinate_transformation_mode") == b"tf_crop_and_resize" and len(node.input) > 3:
            return "an export of regions of interest with sizes of some axes"
    produced = {output for node in model.graph.node for output in node.output}
    if any(node.op_type in ("Pad", "Range") and set(node.input[1:]) & produced for node in model.graph.node):
        return "parameters computed from the values of an input"
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
        if not all(node.op_type in OPERATORS for node in all_nodes(case.model.graph)):
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
