//! Operators that the importer expands: quantized ones, dynamic quantization, few bits, and onnxruntime's fused ones.
//!
//! Expected values are those of ONNX's operator texts where they give examples, else worked out by hand.

use skimp_graph::reference::Reference;
use skimp_graph::{DType, Data, Executor, Graph, Tensor, onnx};

use crate::build::*;
use crate::round_trip::through_file;

const MICROSOFT: &str = "com.microsoft";

fn model() -> Model {
    Model::new(21)
}

/// A node of onnxruntime's own operators.
fn contributed(op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Message]) -> Message {
    node(op, inputs, outputs, attributes).text(7, MICROSOFT)
}

fn scalar(name: &str, value: f32) -> Message {
    floats(name, &[], &[value])
}

fn bytes(name: &str, dims: &[i64], values: &[u8]) -> Message {
    tensor(name, UINT8, dims, values)
}

fn signed(name: &str, dims: &[i64], values: &[i8]) -> Message {
    let raw: Vec<u8> = values.iter().map(|&value| value as u8).collect();
    tensor(name, INT8, dims, &raw)
}

/// The outputs of a model, which its export gives as well.
fn run(model: &Model, inputs: &[Tensor]) -> Vec<Tensor> {
    let graph = model.import().expect("it is supported");
    let of = |graph: &Graph| Reference::new(graph).run(inputs).expect("it fits");
    let outputs = of(&graph);
    assert_eq!(of(&through_file(&graph)), outputs);
    outputs
}

fn u8s(shape: &[usize], values: &[u8]) -> Tensor {
    Tensor::new(shape.to_vec(), values.to_vec().into()).expect("as many as the shape says")
}

#[test]
fn quantized_operators_are_float_operators_between_codes() {
    let base = model().input("x", UINT8, &[Is(1), Is(1), Is(1), Is(2)]).output("y");
    let base = [scalar("half", 0.5), scalar("quarter", 0.25), bytes("one", &[], &[1]), bytes("ten", &[], &[10])]
        .iter()
        .fold(base, |model, initializer| model.initializer(initializer));
    let x = u8s(&[1, 1, 1, 2], &[3, 5]);
    // x stands for 1 and 2, the weights for 0.5 and -2, the bias for 8 · 0.5 · 0.25 = 1 and 0.
    let conv = base
        .clone()
        .initializer(&signed("w", &[2, 1, 1, 1], &[2, -4]))
        .initializer(&floats("ws", &[2], &[0.25, 0.5]))
        .initializer(&signed("wz", &[2], &[0, 0]))
        .initializer(&tensor("b", INT32, &[2], &[8, 0, 0, 0, 0, 0, 0, 0]))
        .node("QLinearConv", &["x", "half", "one", "w", "ws", "wz", "half", "ten", "b"], &["y"], &[]);
    assert_eq!(run(&conv, std::slice::from_ref(&x)), [u8s(&[1, 2, 1, 2], &[13, 14, 6, 2])]);
    // 1 + 1 and 2 + 2 in units of 0.25; 1 · 1 and 2 · 2.
    let pair = |op: &str| {
        let inputs = ["x", "half", "one", "x", "half", "one", "quarter", "ten"];
        run(&base.clone().raw_node(&contributed(op, &inputs, &["y"], &[])), std::slice::from_ref(&x))
    };
    assert_eq!(pair("QLinearAdd"), [u8s(&[1, 1, 1, 2], &[18, 26])]);
    assert_eq!(pair("QLinearMul"), [u8s(&[1, 1, 1, 2], &[14, 26])]);
    // The mean of 1 and 2; a zero point that is left out is 0.
    let pool = contributed("QLinearGlobalAveragePool", &["x", "half", "one", "quarter"], &["y"], &[]);
    assert_eq!(run(&base.clone().raw_node(&pool), std::slice::from_ref(&x)), [u8s(&[1, 1, 1, 1], &[6])]);
    let joined = ["quarter", "ten", "x", "half", "one", "x", "quarter", "one"];
    let concat = contributed("QLinearConcat", &joined, &["y"], &[int_attribute("axis", 1)]);
    assert_eq!(run(&base.clone().raw_node(&concat), std::slice::from_ref(&x)), [u8s(&[1, 2, 1, 2], &[14, 18, 12, 14])]);
    let nhwc = contributed(
        "QLinearGlobalAveragePool",
        &["x", "half", "one", "quarter"],
        &["y"],
        &[int_attribute("channels_last", 1)],
    );
    // Two channels of one element each.
    assert_eq!(run(&base.raw_node(&nhwc), std::slice::from_ref(&x)), [u8s(&[1, 1, 1, 2], &[4, 8])]);
}

#[test]
fn products_of_codes_alone_and_with_a_bias() {
    // A = [[0.5, 1]], B' = [[1, 0], [0, -1]] in units of 0.5 and 1; C in units of 0.5.
    let base = model()
        .input("a", UINT8, &[Is(1), Is(2)])
        .initializer(&scalar("half", 0.5))
        .initializer(&scalar("one", 1.0))
        .initializer(&bytes("three", &[], &[3]))
        .initializer(&signed("zero", &[], &[0]))
        .initializer(&signed("b", &[2, 2], &[1, 0, 0, -1]))
        .initializer(&tensor("c", INT32, &[2], &[3, 0, 0, 0, 1, 0, 0, 0]))
        .output("y");
    let a = u8s(&[1, 2], &[4, 5]);
    let inputs = ["a", "half", "three", "b", "one", "zero", "c"];
    let gemm = contributed("QGemm", &inputs, &["y"], &[int_attribute("transB", 1)]);
    assert_eq!(
        run(&base.clone().raw_node(&gemm), std::slice::from_ref(&a)),
        [Tensor::from_f32(vec![1, 2], vec![2.0, -0.5])]
    );
    let coded =
        base.clone().node("QLinearMatMul", &["a", "half", "three", "b", "one", "zero", "half", "three"], &["y"], &[]);
    assert_eq!(run(&coded, std::slice::from_ref(&a)), [u8s(&[1, 2], &[4, 1])]);
    let to_float = contributed("MatMulIntegerToFloat", &["a", "b", "half", "one", "three", "zero"], &["y"], &[]);
    assert_eq!(run(&base.raw_node(&to_float), &[a]), [Tensor::from_f32(vec![1, 2], vec![0.5, -1.0])]);
}

/// The examples of ONNX's texts.
#[test]
fn integer_products_and_dynamic_quantization() {
    let a = u8s(&[4, 3], &[11, 7, 3, 10, 6, 2, 9, 5, 1, 8, 4, 0]);
    let matmul = model()
        .input("a", UINT8, &[Is(4), Is(3)])
        .initializer(&bytes("b", &[3, 2], &[1, 4, 2, 5, 3, 6]))
        .initializer(&bytes("az", &[1], &[12]))
        .initializer(&bytes("bz", &[1], &[0]))
        .node("MatMulInteger", &["a", "b", "az", "bz"], &["y"], &[])
        .output("y");
    let expected = Tensor::new(vec![4, 2], vec![-38_i32, -83, -44, -98, -50, -113, -56, -128].into()).unwrap();
    assert_eq!(run(&matmul, &[a]), [expected]);
    let conv = |attributes: &[Message]| {
        let model = model()
            .input("x", UINT8, &[Is(1), Is(1), Is(3), Is(3)])
            .initializer(&bytes("w", &[1, 1, 2, 2], &[1; 4]))
            .initializer(&bytes("xz", &[], &[1]))
            .node("ConvInteger", &["x", "w", "xz"], &["y"], attributes)
            .output("y");
        let y = run(&model, &[u8s(&[1, 1, 3, 3], &[2, 3, 4, 5, 6, 7, 8, 9, 10])]).remove(0);
        y.elements::<i32>().unwrap().to_vec()
    };
    assert_eq!(conv(&[]), [12, 16, 24, 28]);
    let padded = [1, 3, 5, 3, 5, 12, 16, 9, 11, 24, 28, 15, 7, 15, 17, 9];
    assert_eq!(conv(&[ints_attribute("pads", &[1; 4])]), padded);
    let dynamic = model()
        .input("x", FLOAT, &[Is(6)])
        .node("DynamicQuantizeLinear", &["x"], &["y", "scale", "zero"], &[])
        .output("y")
        .output("scale")
        .output("zero");
    let x = Tensor::from_f32(vec![6], vec![0.0, 2.0, -3.0, -2.5, 1.34, 0.5]);
    let [y, scale, zero] = &run(&dynamic, &[x])[..] else { panic!("three outputs") };
    assert_eq!(*y, u8s(&[6], &[153, 255, 0, 26, 221, 179]));
    assert_eq!(*scale, Tensor::from_f32(vec![], vec![5.0 / 255.0]));
    assert_eq!(*zero, u8s(&[], &[153]));
    // Nothing but 0, where ONNX's definition divides by 0.
    let [y, scale, _] = &run(&dynamic, &[Tensor::from_f32(vec![6], vec![0.0; 6])])[..] else { panic!("three outputs") };
    assert_eq!((y, scale), (&u8s(&[6], &[0; 6]), &Tensor::from_f32(vec![], vec![1.0])));
}

#[test]
fn sums_beyond_24_bits_are_exact() {
    // 300 products of 255 · 255, and one of 1: an odd number beyond 2^24.
    let model = model()
        .input("a", UINT8, &[Is(1), Is(301)])
        .initializer(&bytes("b", &[301, 1], &[vec![255; 300], vec![1]].concat()))
        .node("MatMulInteger", &["a", "b"], &["y"], &[])
        .output("y");
    let a = u8s(&[1, 301], &[vec![255; 300], vec![2]].concat());
    assert_eq!(run(&model, &[a]), [Tensor::new(vec![1, 1], vec![300 * 255 * 255 + 2_i32].into()).unwrap()]);
}

#[test]
fn weights_of_few_bits() {
    let x = Tensor::from_f32(vec![1, 3], vec![1.0, 2.0, 3.0]);
    let base = || model().input("x", FLOAT, &[Is(1), Is(3)]).output("y");
    // Codes 9, 8, 7 around the middle code 8, in units of 0.5: 0.5 · 1 - 0.5 · 3.
    let nbits = contributed(
        "MatMulNBits",
        &["x", "w", "s"],
        &["y"],
        &[int_attribute("K", 3), int_attribute("N", 1), int_attribute("bits", 4), int_attribute("block_size", 16)],
    );
    let packed = bytes("w", &[1, 1, 8], &[0x89, 0x07, 0, 0, 0, 0, 0, 0]);
    let model = base().initializer(&packed).initializer(&floats("s", &[1], &[0.5])).raw_node(&nbits);
    assert_eq!(run(&model, std::slice::from_ref(&x)), [Tensor::from_f32(vec![1, 1], vec![-1.0])]);
    let weight = |initializers: &[Message], attributes: &[Message], inputs: &[&str]| {
        let model = initializers.iter().fold(base(), |model, initializer| model.initializer(initializer));
        let model = model.node("DequantizeLinear", inputs, &["r"], attributes).node("MatMul", &["x", "r"], &["y"], &[]);
        run(&model, std::slice::from_ref(&x)).remove(0).as_f32().unwrap().to_vec()
    };
    // INT4: 1, -8, 7.
    let int4 = tensor("w", 22, &[3, 1], &[0x81, 0x07]);
    assert_eq!(weight(&[int4, scalar("s", 0.5)], &[], &["w", "s"]), [0.5 - 8.0 + 10.5]);
    // FLOAT8E4M3FN: 1, 0.5, -2.
    let float8 = tensor("w", 17, &[3, 1], &[0x38, 0x30, 0xc0]);
    assert_eq!(weight(&[float8, scalar("s", 2.0)], &[], &["w", "s"]), [2.0 + 2.0 - 12.0]);
    // Blocks of two rows, each with a scale and a zero point: (4 - 2) · 0.5, (6 - 2) · 0.5, (3 - 1) · 2.
    let blocks = [signed("w", &[3, 1], &[4, 6, 3]), floats("s", &[2, 1], &[0.5, 2.0]), signed("z", &[2, 1], &[2, 1])];
    let by_two = [int_attribute("axis", 0), int_attribute("block_size", 2)];
    assert_eq!(weight(&blocks, &by_two, &["w", "s", "z"]), [1.0 + 4.0 + 12.0]);
    let by_four = [int_attribute("axis", 0), int_attribute("block_size", 4)];
    let misfit = blocks.iter().fold(base(), |model, initializer| model.initializer(initializer));
    let misfit = misfit.node("DequantizeLinear", &["w", "s", "z"], &["y"], &by_four);
    let refused = misfit.import().expect_err("one block, two scales").to_string();
    assert!(refused.contains("scales of shape [2, 1] for codes of shape [3, 1]"), "{refused}");
}

#[test]
fn fused_operators() {
    let x = Tensor::from_f32(vec![1, 2], vec![1.0, 3.0]);
    let base = |node: &Message, outputs: &[&str]| {
        let model = model()
            .input("x", FLOAT, &[Is(1), Is(2)])
            .initializer(&floats("m", &[1, 2], &[2.0, -1.0]))
            .initializer(&floats("ones", &[2], &[1.0, 1.0]))
            .raw_node(node);
        let model = outputs.iter().fold(model, |model, output| model.output(output));
        run(&model, std::slice::from_ref(&x))
    };
    // 0.5 · (2 - 3).
    let product =
        contributed("FusedMatMul", &["x", "m"], &["y"], &[int_attribute("transB", 1), float_attribute("alpha", 0.5)]);
    assert_eq!(base(&product, &["y"]), [Tensor::from_f32(vec![1, 1], vec![-0.5])]);
    // 3 and 2: half a unit above and below their mean, and the sum itself.
    let normalized = contributed(
        "SkipLayerNormalization",
        &["x", "m", "ones"],
        &["y", "", "", "sum"],
        &[float_attribute("epsilon", 0.0)],
    );
    let [y, sum] = &base(&normalized, &["y", "sum"])[..] else { panic!("two outputs") };
    assert_eq!(*y, Tensor::from_f32(vec![1, 2], vec![1.0, -1.0]));
    assert_eq!(*sum, Tensor::from_f32(vec![1, 2], vec![3.0, 2.0]));
    // Gelu of 0 and of a number so large that it is itself.
    let gelu = contributed("BiasGelu", &["m", "m"], &["y"], &[]);
    let large = base(&gelu, &["y"]).remove(0).as_f32().unwrap().to_vec();
    assert!((large[0] - 3.999_873).abs() < 1e-5, "{large:?}");
    let conv = model()
        .input("x", FLOAT, &[Is(1), Is(1), Is(1), Is(2)])
        .initializer(&floats("w", &[1, 1, 1, 1], &[-2.0]))
        .raw_node(&contributed(
            "FusedConv",
            &["x", "w", "", "x"],
            &["y"],
            &[text_attribute("activation", "LeakyRelu"), floats_attribute("activation_params", &[0.5])],
        ))
        .output("y");
    // -2 · 1 + 1 and 2 · 4 - 4, a leak of a half.
    let x = Tensor::from_f32(vec![1, 1, 1, 2], vec![1.0, -4.0]);
    assert_eq!(run(&conv, &[x]), [Tensor::from_f32(vec![1, 1, 1, 2], vec![-0.5, 4.0])]);
}

#[test]
fn half_precision_is_computed_in_f32_and_said_so() {
    let model = Model::new(20)
        .input("x", FLOAT16, &[Is(2)])
        .initializer(&tensor("c", FLOAT16, &[1], &[0x00, 0x3c]))
        .node("Add", &["x", "c"], &["y"], &[])
        .output("y");
    let graph = model.import().expect("it is supported");
    assert_eq!(graph.metadata(onnx::WIDENED_KEY), Some("FLOAT16"));
    assert_eq!(graph.inputs()[0].dtype, DType::F32);
    // In half precision 2049 would be 2048 or 2050.
    let y = run(&model, &[Tensor::from_f32(vec![2], vec![2048.0, 0.5])]).remove(0);
    assert_eq!(*y.data(), Data::from(vec![2049.0_f32, 1.5]));
    let plain = Model::new(20).input("x", FLOAT, &[Is(2)]).node("Relu", &["x"], &["y"], &[]).output("y");
    assert_eq!(plain.import().unwrap().metadata(onnx::WIDENED_KEY), None);
}

/// Expected values are those of onnxruntime 1.32.
#[test]
fn an_lstm_quantized_as_it_runs() {
    let w = [
        162, 17, 35, 47, 36, 160, 173, 116, 7, 18, 66, 86, 124, 95, 52, 31, 138, 146, 6, 22, 90, 78, 177, 103, 84, 86,
        133, 117, 34, 147, 151, 191,
    ];
    let r = [
        157, 56, 63, 129, 130, 139, 173, 58, 187, 0, 15, 194, 188, 59, 27, 62, 8, 178, 132, 117, 48, 94, 38, 154, 94,
        6, 50, 141, 103, 74, 50, 18,
    ];
    let biases: Vec<f32> = (0..32).map(|idx| (idx % 7) as f32 * 0.1 - 0.3).collect();
    let inputs = ["x", "w", "r", "b", "", "", "", "", "ws", "wz", "rs", "rz"];
    let attributes = [int_attribute("hidden_size", 2), text_attribute("direction", "bidirectional")];
    let model = model()
        .input("x", FLOAT, &[Is(3), Named("N"), Is(2)])
        .initializer(&bytes("w", &[2, 2, 8], &w))
        .initializer(&bytes("r", &[2, 2, 8], &r))
        .initializer(&floats("b", &[2, 16], &biases))
        .initializer(&floats("ws", &[2], &[0.01, 0.02]))
        .initializer(&bytes("wz", &[2], &[100, 120]))
        .initializer(&floats("rs", &[2], &[0.015, 0.01]))
        .initializer(&bytes("rz", &[2], &[90, 110]))
        .raw_node(&contributed("DynamicQuantizeLSTM", &inputs, &["y", "yh", "yc"], &attributes))
        .output("y")
        .output("yh")
        .output("yc");
    let x = Tensor::from_f32(vec![3, 1, 2], vec![1.0, -0.5, 0.25, 2.0, -1.0, 0.75]);
    let outputs = run(&model, &[x]);
    let expected: [(&[usize], &[f32]); 3] = [
        (
            &[3, 2, 1, 2],
            &[
                0.159_705_3,
                0.000_126_164_5,
                0.031_406_88,
                -0.099_864_06,
                0.068_659_65,
                -0.041_374_69,
                0.090_072_53,
                0.152_161,
                0.052_843_64,
                -0.261_191_3,
                -0.187_083_9,
                0.219_738_3,
            ],
        ),
        (&[2, 1, 2], &[0.052_843_64, -0.261_191_3, 0.031_406_88, -0.099_864_06]),
        (&[2, 1, 2], &[0.091_749_24, -0.447_201, 0.319_689_8, -0.543_424_1]),
    ];
    for (output, (shape, expected)) in outputs.iter().zip(expected) {
        assert_eq!(output.shape(), shape);
        for (found, expected) in output.as_f32().expect("f32").iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
