//! Files that are wrong: an error each time, and never a panic.

use proptest::prelude::*;

use crate::build::*;

/// Whatever the file, importing and exporting end in a value or an error.
fn survive(bytes: Vec<u8>) {
    if let Ok(graph) = import(bytes) {
        // A damaged file may still be a valid network; then its export must be valid too.
        if let Ok(bytes) = skimp_graph::onnx::export_bytes(&graph) {
            let again = import(bytes).unwrap_or_else(|e| panic!("the export of a valid network is invalid: {e}"));
            assert_eq!(graph.nodes().len(), again.nodes().len());
            assert_eq!(format!("{graph:?}"), format!("{again:?}"), "the round trip is the identity");
        }
    }
}

#[test]
fn every_truncation_is_survived() {
    let bytes = small_network().to_bytes();
    for n in 0..bytes.len() {
        survive(bytes[..n].to_vec());
        assert!(import(bytes[..n].to_vec()).is_err(), "{n} of {} bytes are no network", bytes.len());
    }
    assert!(import(bytes).is_ok());
}

/// A fixed sequence of numbers (xorshift64*, Vigna 2016), so that a failure can be repeated.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

#[test]
fn mutations_are_survived() {
    mutate(&small_network().to_bytes(), 20_000);
}

#[test]
fn mutations_of_branches_loops_and_functions_are_survived() {
    mutate(&branching_network().to_bytes(), 20_000);
}

/// A network that chooses, repeats, attends, quantizes and has sparse constants.
fn branching_network() -> Model {
    let step = |label: &str, op: &str| graph_attribute(label, &[], &[node(op, &["s", "x"], &["t"], &[])], &["t"]);
    let given =
        [value_info("trip", INT64, &[]), value_info("on", BOOL, &[]), value_info("s", FLOAT, &[Is(1), Is(2), Is(4)])];
    let body = [
        node("ReduceMax", &["s"], &["most"], &[int_attribute("keepdims", 0)]),
        node("Less", &["most", "bits"], &["small"], &[]),
        node("If", &["small"], &["next"], &[step("then_branch", "Add"), step("else_branch", "Sub")]),
    ];
    let body = |name: &str, outputs: &[&str]| graph_attribute(name, &given, &body, outputs);
    let slices = [value_info("sum", FLOAT, &[Is(2), Is(4)]), value_info("row", FLOAT, &[Is(2), Is(4)])];
    let scan = graph_attribute("body", &slices, &[node("Add", &["sum", "row"], &["out"], &[])], &["out"]);
    let quant = node("Quant", &["attended", "scale", "zero", "bits"], &["codes"], &[int_attribute("signed", 1)]);
    let sparse = Message::new().message(1, &floats("few", &[1], &[2.0])).message(2, &ints("indices", &[3])).int(3, 4);
    let mut model = Model::new(23)
        .input("x", FLOAT, &[Is(1), Is(2), Is(4)])
        .initializer(&floats("scale", &[], &[0.25]))
        .initializer(&floats("zero", &[], &[0.0]))
        .initializer(&floats("bits", &[], &[4.0]))
        .initializer(&floats("start", &[2, 4], &[0.0; 8]))
        .initializer(&int_scalar("three", 3))
        .node("Loop", &["three", "", "x"], &["written_out"], &[body("body", &["on", "next"])])
        .node("Loop", &["", "", "written_out"], &["repeated"], &[body("body", &["small", "next"])])
        .node("Scan", &["start", "repeated"], &["summed"], &[scan, int_attribute("num_scan_inputs", 1)])
        .node("Add", &["repeated", "summed"], &["both"], &[])
        .node(
            "Attention",
            &["both", "both", "both"],
            &["attended"],
            &[int_attribute("q_num_heads", 2), int_attribute("kv_num_heads", 2), int_attribute("is_causal", 1)],
        )
        .raw_node(&quant.text(7, "qonnx.custom_op.general"))
        .node("Mul", &["codes", "few"], &["y"], &[])
        .output("y");
    model.graph = model.graph.message(15, &sparse);
    assert!(model.import().is_ok(), "{:?}", model.import());
    model
}

fn mutate(original: &[u8], n_times: usize) {
    let mut sequence = Sequence(0x5eed);
    for _ in 0..n_times {
        let mut bytes = original.to_vec();
        for _ in 0..=sequence.below(4) {
            let at = sequence.below(bytes.len());
            match sequence.below(4) {
                0 => bytes[at] ^= 1 << sequence.below(8),
                1 => bytes[at] = sequence.below(256) as u8,
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, sequence.below(256) as u8),
            }
        }
        survive(bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        survive(bytes);
    }

    #[test]
    fn arbitrary_graphs_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let opset = Message::new().int(2, 13);
        survive(Message::new().message(8, &opset).bytes(7, &bytes).0);
    }

    #[test]
    fn arbitrary_attributes_are_survived(
        op in 0_usize..10_000,
        opset in 7_i64..=28,
        key in prop::sample::select(vec![
            "axes", "axis", "pads", "strides", "dilations", "kernel_shape", "group", "to", "size", "perm", "starts",
            "split", "num_outputs", "block_size", "start", "end", "auto_pad", "mode", "ceil_mode", "hidden_size", "K", "layout",
        ]),
        values in proptest::collection::vec(prop_oneof![-4_i64..5, any::<i64>()], 0..5),
        parameters in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![-4_i64..5, any::<i64>()], 0..5), 0..4),
    ) {
        let all: Vec<_> = skimp_graph::onnx::operators().collect();
        let operator = all[op % all.len()];
        let op = operator.name;
        let names = ["x", "p0", "p1", "p2", "p3"];
        let mut model = Model::new(opset).input("x", FLOAT, &[Named("N"), Is(3), Is(5), Absent]);
        for (parameter, name) in parameters.iter().zip(&names[1..]) {
            model = model.initializer(&ints(name, parameter));
        }
        let inputs = &names[..=parameters.len()];
        let attribute = match values.as_slice() {
            [one] => int_attribute(key, *one),
            all => ints_attribute(key, all),
        };
        let from = if op == "Constant" { &[][..] } else { inputs };
        for from in [from, &inputs[inputs.len() - 1..]] {
            let node = node(op, from, &["y"], std::slice::from_ref(&attribute)).text(7, operator.domain);
            survive(model.clone().raw_node(&node).output("y").to_bytes());
        }
    }
}

fn with_weight(weight: &Message) -> Model {
    Model::new(13)
        .input("x", FLOAT, &[Is(1), Is(2)])
        .initializer(weight)
        .node("Add", &["x", "w"], &["y"], &[])
        .output("y")
}

fn one_node(opset: i64, op: &str, attributes: &[Message]) -> Model {
    Model::new(opset)
        .input("x", FLOAT, &[Named("N"), Is(2), Is(4), Is(4)])
        .node(op, &["x"], &["y"], attributes)
        .output("y")
}

fn check(what: &str, model: &Model, fragments: &[&str]) {
    let error = model.import().expect_err(what).to_string();
    for fragment in fragments {
        assert!(error.contains(fragment), "{what}: \"{error}\" does not contain \"{fragment}\"");
    }
}

/// What a mask or the start of a maximum holds.
#[test]
fn infinities_of_masks_are_read() {
    let mask = with_weight(&floats("w", &[2], &[0.0, f32::NEG_INFINITY])).import().expect("a mask");
    assert!(mask.values().iter().any(|value| value.constant.is_some()));
    assert!(with_weight(&floats("w", &[1], &[f32::INFINITY])).import().is_ok());
    check("NaN in a mask", &with_weight(&floats("w", &[2], &[0.0, f32::NAN])), &["element 1 is NaN"]);
}

#[test]
fn bad_tensors_are_named() {
    let cases: Vec<(&str, Message, &[&str])> = vec![
        ("NaN", floats("w", &[2], &[1.0, f32::NAN]), &["initializer \"w\"", "element 1 is NaN"]),
        ("infinity", floats("w", &[2], &[f32::INFINITY, 1.0]), &["initializer \"w\"", "element 0 is inf"]),
        ("short data", floats("w", &[3], &[1.0, 2.0]), &["initializer \"w\"", "8 bytes of data"]),
        ("no data", tensor("w", FLOAT, &[2], &[]), &["initializer \"w\"", "0 elements, expected 2"]),
        ("negative extent", floats("w", &[-2], &[1.0, 2.0]), &["initializer \"w\"", "negative dimension -2"]),
        ("overflow", floats("w", &[i64::MAX, i64::MAX], &[1.0]), &["initializer \"w\"", "overflow"]),
        ("huge", floats("w", &[1 << 50], &[1.0]), &["initializer \"w\"", "4 bytes of data"]),
        ("strings", tensor("w", STRING, &[1], b"a"), &["initializer \"w\"", "unsupported element type STRING"]),
        ("unknown type", tensor("w", 99, &[1], b"a"), &["initializer \"w\"", "number 99"]),
        ("wrong type", ints("w", &[1, 2]), &["node_y", "mix the element types F32 and I64"]),
        ("truth values", tensor("w", BOOL, &[2], &[0, 1]), &["node_y", "mix the element types"]),
    ];
    for (what, weight, fragments) in cases {
        check(what, &with_weight(&weight), fragments);
    }
    let half = tensor("w", FLOAT16, &[2], &[0x00, 0x3c, 0x00, 0xc0]);
    let graph = with_weight(&half).import().expect("half precision is widened");
    let constant = graph.values().iter().find_map(|v| v.constant.as_ref()).expect("one constant");
    assert_eq!(constant.as_f32().expect("f32"), [1.0, -2.0]);
}

#[test]
fn bad_graphs_are_explained() {
    let base = || Model::new(13).input("x", FLOAT, &[Is(1), Is(2)]);
    let sparse = Message::new().message(1, &floats("w", &[1], &[1.0]));
    let mut with_sparse = base().node("Relu", &["x"], &["y"], &[]).output("y");
    with_sparse.graph = with_sparse.graph.message(15, &sparse);
    let cases: Vec<(&str, Model, &[&str])> = vec![
        (
            "cycle",
            base().node("Add", &["x", "b"], &["a"], &[]).node("Relu", &["a"], &["b"], &[]).output("b"),
            &["cycle", "node_a"],
        ),
        ("self cycle", base().node("Add", &["x", "a"], &["a"], &[]).output("a"), &["cycle", "node_a"]),
        ("missing value", base().node("Add", &["x", "gone"], &["y"], &[]).output("y"), &["\"gone\"", "node_y"]),
        ("missing output", base().node("Relu", &["x"], &["y"], &[]).output("z"), &["nothing produces", "\"z\""]),
        ("no output", base().node("Relu", &["x"], &["y"], &[]), &["no output"]),
        (
            "two producers",
            base().node("Relu", &["x"], &["y"], &[]).node("Tanh", &["x"], &["y"], &[]).output("y"),
            &["two nodes produce \"y\""],
        ),
        ("input twice", base().input("x", FLOAT, &[Is(1)]).output("x"), &["two sources", "\"x\""]),
        (
            "input and output of a node",
            base().input("y", FLOAT, &[Is(1)]).node("Relu", &["x"], &["y"], &[]).output("y"),
            &["two sources", "\"y\""],
        ),
        (
            "initializer twice",
            base().initializer(&ints("w", &[1])).initializer(&ints("w", &[1])).output("x"),
            &["two initializers", "\"w\""],
        ),
        (
            "initializer and output",
            base().initializer(&ints("y", &[1])).node("Relu", &["x"], &["y"], &[]).output("y"),
            &["both an initializer and the output", "\"y\""],
        ),
        ("sparse", with_sparse, &["initializer \"w\"", "as many indices as values"]),
        ("string input", Model::new(13).input("s", STRING, &[Is(1)]).output("s"), &["input \"s\"", "STRING"]),
        ("negative extent", Model::new(13).input("s", FLOAT, &[Is(-5)]).output("s"), &["input \"s\"", "-5"]),
        (
            "unsupported",
            base()
                .node("Unique", &["x"], &["a"], &[])
                .node("Relu", &["a"], &["b"], &[])
                .node("NonZero", &["b"], &["y"], &[])
                .output("y"),
            &["node_a", "(Unique)", "NonZero (node \"node_y\")", "operator set 13", "without post-processing"],
        ),
        ("too old", one_node(6, "Relu", &[]), &["operator set 6", "7 to 28"]),
        ("too new", one_node(29, "Relu", &[]), &["operator set 29", "7 to 28"]),
    ];
    for (what, model, fragments) in cases {
        check(what, &model, fragments);
    }
    let error = |bytes: &[u8]| import(bytes.to_vec()).expect_err("invalid").to_string();
    assert!(error(b"").contains("the file is empty"));
    assert!(error(b"not a model at all").contains("not an ONNX model"));
    assert!(error(&Message::new().int(1, 8).0).contains("version of its operator set"));
    let opset = Message::new().int(2, 13);
    assert!(error(&Message::new().message(8, &opset).0).contains("no graph"));
}

#[test]
fn bad_nodes_are_named() {
    let kernel = |k: &[i64]| ints_attribute("kernel_shape", k);
    // What fills or bounds integers is an integer, too, as in onnxruntime.
    let of_bytes = |op: &str, inputs: &[&str]| {
        let model = Model::new(13).input("x", INT8, &[Is(2)]).initializer(&ints("pads", &[1, 1]));
        model.initializer(&floats("number", &[], &[-0.0])).node(op, inputs, &["y"], &[]).output("y")
    };
    let transposed = Model::new(13)
        .input("x", FLOAT, &[Is(1), Is(1), Is(4), Is(4)])
        .initializer(&floats("w", &[1, 1, 1, 1], &[1.0]))
        .node("ConvTranspose", &["x", "w"], &["y"], &[ints_attribute("output_padding", &[1])])
        .output("y");
    let filled = Model::new(13).input("x", FLOAT, &[Is(2)]).node("ConstantOfShape", &["x"], &["y"], &[]).output("y");
    let cases: Vec<(&str, Model, &[&str])> = vec![
        ("float bound", of_bytes("Clip", &["x", "", "number"]), &["\"number\"", "type f32, expected i8"]),
        ("float filling", of_bytes("Pad", &["x", "pads", "number"]), &["\"number\"", "type f32, expected i8"]),
        (
            "zero stride",
            one_node(13, "MaxPool", &[kernel(&[2, 2]), ints_attribute("strides", &[0, 1])]),
            &["node_y", "strides"],
        ),
        ("huge pads", one_node(13, "MaxPool", &[kernel(&[2, 2]), ints_attribute("pads", &[2, 0, 0, 0])]), &["pad"]),
        (
            "few pads",
            one_node(13, "MaxPool", &[kernel(&[2, 2]), ints_attribute("pads", &[1])]),
            &["1 entries, expected 4"],
        ),
        ("no kernel", one_node(13, "AveragePool", &[]), &["kernel_shape", "missing"]),
        ("wrong rank", one_node(13, "AveragePool", &[kernel(&[2])]), &["4 dims, expected 3"]),
        ("attribute type", one_node(13, "Flatten", &[float_attribute("axis", 1.0)]), &["\"axis\"", "type"]),
        ("attribute twice", one_node(13, "Flatten", &[int_attribute("axis", 1), int_attribute("axis", 2)]), &["twice"]),
        ("unknown attribute", one_node(13, "Relu", &[int_attribute("fast", 1)]), &["unsupported", "\"fast\""]),
        (
            "bad mode",
            one_node(10, "Pad", &[text_attribute("mode", "odd"), ints_attribute("pads", &[0; 8])]),
            &["\"odd\""],
        ),
        ("bad perm", one_node(13, "Transpose", &[ints_attribute("perm", &[0, 0, 1, 2])]), &["no permutation"]),
        ("cast to string", one_node(13, "Cast", &[int_attribute("to", 8)]), &["STRING", "unsupported"]),
        ("NaN slope", one_node(13, "LeakyRelu", &[float_attribute("alpha", f32::NAN)]), &["\"alpha\"", "not a number"]),
        ("few output paddings", transposed, &["\"output_padding\" has 1 entries, expected 2"]),
        ("a constant of the shape of data", filled, &["(ConstantOfShape)", "shape calculations only"]),
    ];
    for (what, model, fragments) in cases {
        check(what, &model, fragments);
    }
    let training = Model::new(9)
        .input("x", FLOAT, &[Is(1), Is(2)])
        .initializer(&floats("p", &[2], &[1.0, 1.0]))
        .node("BatchNormalization", &["x", "p", "p", "p", "p"], &["y", "mean"], &[])
        .output("y");
    check("training", &training, &["training mode", "unsupported"]);
    let channels = Model::new(13)
        .input("x", FLOAT, &[Is(1), Is(3), Is(4), Is(4)])
        .initializer(&floats("w", &[2, 2, 1, 1], &[1.0; 4]))
        .node("Conv", &["x", "w"], &["y"], &[])
        .output("y");
    check("channels", &channels, &["3 channels, expected 1 groups of 2"]);
}

/// The depth of nesting is limited by the decoder, that of subgraphs and of groups in groups.
#[test]
fn deep_nesting_is_survived() {
    let mut attribute = Message::new().text(1, "body");
    for _ in 0..2_000 {
        let nested = Message::new().message(1, &Message::new().text(4, "If").message(5, &attribute));
        attribute = Message::new().text(1, "body").message(6, &nested);
    }
    let node = Message::new().text(1, "x").text(2, "y").text(4, "If").message(5, &attribute);
    let model = Model::new(13).input("x", FLOAT, &[Is(1)]).raw_node(&node).output("y");
    let error = model.import().expect_err("control flow").to_string();
    assert!(error.contains("recursion limit") && error.len() < 500, "{error}");

    let groups = vec![0x0b_u8; 1_000_000];
    assert!(import(groups).is_err());
}

#[test]
fn names_are_made_unique() {
    let unnamed =
        |op: &str, from: &str, to: &str, name: &str| Message::new().text(1, from).text(2, to).text(3, name).text(4, op);
    let model = Model::new(13)
        .input("x", FLOAT, &[Is(1)])
        .raw_node(&unnamed("Relu", "x", "a", "same"))
        .raw_node(&unnamed("Tanh", "a", "b", "same"))
        .raw_node(&unnamed("Relu", "b", "c", ""))
        .raw_node(&unnamed("Relu", "c", "y", "Relu_2"))
        .output("y");
    let graph = model.import().expect("valid");
    let names: Vec<&str> = graph.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["same", "same_1", "Relu_2_1", "Relu_2"]);
}
