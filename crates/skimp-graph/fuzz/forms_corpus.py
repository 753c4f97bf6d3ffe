#!/usr/bin/env python3
"""Writes seeds of forms that the node tests have none or few of to corpus/import: bodies within bodies, functions that a file defines,
sparse constants, QONNX, quantized forms of onnxruntime's own operators. Needs the Python package onnx."""

import pathlib

import numpy as np
from onnx import AttributeProto, TensorProto, helper, numpy_helper

FOLDER = pathlib.Path(__file__).parent / "corpus/import"
F, I, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def tensor(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def info(name, dtype=F, shape=("n", 4)):
    return helper.make_tensor_value_info(name, dtype, shape)


def save(name, nodes, constants=(), inputs=None, outputs=("y",), opset=21, domains=(), **extra):
    sparse = extra.pop("sparse", ())
    graph = helper.make_graph(
        nodes, name, inputs or [info("x")], [info(o, shape=None) for o in outputs], list(constants), sparse_initializer=list(sparse)
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10, **extra)
    (FOLDER / f"form_{name}.onnx").write_bytes(model.SerializeToString())


def body(name, nodes, inputs, outputs, constants=()):
    return helper.make_graph(nodes, name, inputs, outputs, list(constants))


def bodies():
    positive = body("positive", [helper.make_node("Relu", ["x"], ["a"])], [], [info("a", shape=None)])
    negative = body("negative", [helper.make_node("Neg", ["x"], ["b"])], [], [info("b", shape=None)])
    choice = helper.make_node("If", ["c"], ["z"], then_branch=positive, else_branch=negative)
    some = [helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0), helper.make_node("Greater", ["s", "zero"], ["c"])]
    zero = tensor("zero", np.float32(0))
    save("if_on_data", [*some, choice, helper.make_node("Identity", ["z"], ["y"])], [zero])
    outer = body("outer", [choice, helper.make_node("Abs", ["z"], ["w"])], [], [info("w", shape=None)])
    other = body("other", [helper.make_node("Exp", ["x"], ["v"])], [], [info("v", shape=None)])
    save("if_in_if", [*some, helper.make_node("If", ["c"], ["y"], then_branch=outer, else_branch=other)], [zero])
    step = body(
        "step",
        [helper.make_node("Add", ["state", "x"], ["next"]), helper.make_node("Identity", ["go"], ["still"]),
         helper.make_node("ReduceMax", ["next"], ["most"], keepdims=0)],
        [info("i", I, ()), info("go", B, ()), info("state", shape=None)],
        [info("still", B, ()), info("next", shape=None), info("most", shape=None)],
    )
    loop = helper.make_node("Loop", ["trips", "", "x"], ["last", "y"], body=step)
    save("loop", [loop], [tensor("trips", np.int64(3))])
    save("loop_on_data", [*some, helper.make_node("Loop", ["trips", "c", "x"], ["y", ""], body=step)], [zero, tensor("trips", np.int64(9))])
    scanned = body(
        "scanned",
        [helper.make_node("Add", ["sum", "row"], ["total"]), helper.make_node("Relu", ["total"], ["seen"])],
        [info("sum", shape=(4,)), info("row", shape=(4,))],
        [info("total", shape=(4,)), info("seen", shape=(4,))],
    )
    for reverse in (0, 1):
        scan = helper.make_node(
            "Scan", ["start", "x"], ["", "y"], body=scanned, num_scan_inputs=1, scan_input_directions=[reverse], scan_output_axes=[-1]
        )
        save(f"scan_{reverse}", [scan], [tensor("start", np.zeros(4, np.float32))])
    recurrent = body("recurrent", [helper.make_node("Scan", ["sum", "x"], ["total", ""], body=scanned, num_scan_inputs=1),
                                   helper.make_node("Identity", ["go"], ["still"])],
                     [info("i", I, ()), info("go", B, ()), info("sum", shape=(4,))], [info("still", B, ()), info("total", shape=(4,))])
    save("scan_in_loop", [helper.make_node("Loop", ["trips", "", "start"], ["y"], body=recurrent)],
         [tensor("trips", np.int64(2)), tensor("start", np.ones(4, np.float32))])


def functions():
    halved = helper.make_function(
        "own", "Halved", ["a"], ["b"],
        [helper.make_node("Constant", [], ["h"], value=tensor("h", np.float32(0.5))), helper.make_node("Mul", ["a", "h"], ["b"])],
        [helper.make_opsetid("", 21)],
    )
    twice = helper.make_function(
        "own", "Twice", ["a"], ["b"],
        [helper.make_node("Halved", ["a"], ["c"], domain="own"), helper.make_node("Halved", ["c"], ["b"], domain="own")],
        [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)],
    )
    leaky = helper.make_function(
        "own", "Leaky", ["a"], ["b"], [helper.make_node("LeakyRelu", ["a"], ["b"])], [helper.make_opsetid("", 21)], attributes=["alpha"]
    )
    leaky.node[0].attribute.add(name="alpha", ref_attr_name="alpha", type=AttributeProto.FLOAT)
    nodes = [helper.make_node("Twice", ["x"], ["t"], domain="own"), helper.make_node("Leaky", ["t"], ["y"], domain="own", alpha=0.2)]
    save("functions", nodes, domains=["own"], functions=[halved, twice, leaky])
    loop = helper.make_function("own", "Twice", ["a"], ["b"], [helper.make_node("Twice", ["a"], ["b"], domain="own")],
                                [helper.make_opsetid("own", 1)])
    save("function_of_itself", [helper.make_node("Twice", ["x"], ["y"], domain="own")], domains=["own"], functions=[loop])


def sparse():
    for name, indices in {"flat": [1, 6, 11], "pairs": [[0, 1], [2, 2], [3, 3]]}.items():
        values = tensor("w", np.array([1.0, -2.0, 3.0], np.float32))
        weight = helper.make_sparse_tensor(values, tensor("", np.array(indices, np.int64)), [4, 4])
        save(f"sparse_{name}", [helper.make_node("MatMul", ["x", "w"], ["y"])], sparse=[weight])


def qonnx():
    scalars = [tensor("s", np.float32(0.25)), tensor("z", np.float32(0)), tensor("b", np.float32(4))]
    for domain in ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general"):
        tail = domain.split(".")[0]
        quant = helper.make_node("Quant", ["x", "s", "z", "b"], ["y"], domain=domain, signed=1, narrow=0, rounding_mode="ROUND")
        save(f"qonnx_quant_{tail}", [quant], scalars, domains=[domain])
        save(f"qonnx_bipolar_{tail}", [helper.make_node("BipolarQuant", ["x", "s"], ["y"], domain=domain)], scalars[:1], domains=[domain])
    domain = "qonnx.custom_op.general"
    trunc = helper.make_node("Trunc", ["x", "s", "z", "b", "o"], ["y"], domain=domain, rounding_mode="FLOOR")
    save("qonnx_trunc", [trunc], [*scalars, tensor("o", np.float32(2))], domains=[domain])
    rows = [tensor("t", np.array([[-1.0, 0.0, 1.0]] * 4, np.float32))]
    save("qonnx_thresholds", [helper.make_node("MultiThreshold", ["x", "t"], ["y"], domain=domain, out_scale=0.5)], rows, domains=[domain])
    ceil = helper.make_node("Quant", ["x", "s", "z", "b"], ["y"], domain=domain, signed=0, narrow=1, rounding_mode="CEIL")
    save("qonnx_ceil", [ceil], scalars, domains=[domain])


def quantized():
    codes = [tensor("s", np.float32(0.1)), tensor("z", np.uint8(128)), tensor("w", np.arange(16, dtype=np.uint8).reshape(4, 4))]
    pairs = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]), helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"])]
    product = [helper.make_node("Transpose", ["d"], ["t"]), helper.make_node("MatMul", ["d", "t"], ["m"])]
    tail = [helper.make_node("QuantizeLinear", ["m", "s", "z"], ["p"]), helper.make_node("DequantizeLinear", ["p", "s", "z"], ["y"])]
    save("qdq_product", [*pairs, *product, *tail], codes[:2])
    bias = [tensor("b", np.ones(4, np.float32))]
    layer = [helper.make_node("DequantizeLinear", ["w", "s", "z"], ["dw"]), helper.make_node("MatMul", ["d", "dw"], ["mm"]),
             helper.make_node("Add", ["mm", "b"], ["m"])]
    save("qdq_biased", [*pairs, *layer, *tail], codes + bias)
    linear = helper.make_node("QLinearMatMul", ["q", "s", "z", "w", "s", "z", "s", "z"], ["p"])
    save("qlinear_matmul", [pairs[0], linear, tail[1]], codes)
    ms = "com.microsoft"
    save("qlinear_add", [pairs[0], helper.make_node("QLinearAdd", ["q", "s", "z", "q", "s", "z", "s", "z"], ["p"], domain=ms), tail[1]],
         codes[:2], domains=[ms])
    dynamic = [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"]),
               helper.make_node("MatMulInteger", ["q", "w", "qz", "z"], ["i"]), helper.make_node("Cast", ["i"], ["y"], to=F)]
    save("dynamic", dynamic, codes[1:])
    packed = [tensor("w", np.arange(4 * 1 * 8, dtype=np.uint8).reshape(4, 1, 8)), tensor("s", np.ones(4, np.float32))]
    bits = helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], domain=ms, K=16, N=4, bits=4, block_size=16)
    save("nbits", [bits], packed, inputs=[info("x", shape=("n", 16))], domains=[ms])
    save("attention", [helper.make_node("Attention", ["x", "x", "x"], ["y"], q_num_heads=2, kv_num_heads=2)],
         inputs=[info("x", shape=("n", 3, 4))], opset=23)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for forms in (bodies, functions, sparse, qonnx, quantized):
        forms()


if __name__ == "__main__":
    main()
