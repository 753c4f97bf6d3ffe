//! Shape calculations as exporters write them, evaluated away at import.

use skimp_graph::ops;
use skimp_graph::reference::Reference;
use skimp_graph::{Executor, Graph, Op, Pad, PadMode, Tensor};

use crate::build::*;
use crate::round_trip::through_file;

fn image() -> Model {
    Model::new(13)
        .input("x", FLOAT, &[Named("N"), Is(3), Named("H"), Is(4)])
        .initializer(&int_scalar("i0", 0))
        .initializer(&int_scalar("i1", 1))
        .initializer(&ints("v0", &[0]))
        .initializer(&ints("v1", &[1]))
        .initializer(&ints("v2", &[2]))
        .initializer(&ints("minus1", &[-1]))
}

fn scalar(name: &str, value: f32) -> Message {
    floats(name, &[], &[value])
}

fn ops(model: &Model) -> Vec<Op> {
    let graph = model.import().expect("resolvable");
    assert_eq!(graph, through_file(&graph));
    assert!(graph.values().iter().all(|value| value.constant.is_none()), "{graph:?}");
    graph.nodes().iter().map(|node| node.op.clone()).collect()
}

fn reshape(shape: &[i64]) -> Vec<Op> {
    vec![Op::Reshape(ops::Reshape { shape: shape.to_vec(), allow_zero: false })]
}

fn concat(model: Model, parts: &[&str]) -> Model {
    model
        .node("Concat", parts, &["target"], &[int_attribute("axis", 0)])
        .node("Reshape", &["x", "target"], &["y"], &[])
        .output("y")
}

/// `x.view(x.size(0), -1)` and its relatives.
#[test]
fn views_become_reshapes() {
    let sizes = || {
        image()
            .node("Shape", &["x"], &["s"], &[])
            .node("Gather", &["s", "i0"], &["n"], &[])
            .node("Unsqueeze", &["n", "v0"], &["n1"], &[])
            .node("Slice", &["s", "v2", "minus1"], &["h1"], &[])
    };
    assert_eq!(ops(&concat(sizes(), &["n1", "minus1"])), reshape(&[0, -1]));
    assert_eq!(ops(&concat(sizes(), &["n1", "v2", "minus1"])), reshape(&[0, 2, -1]));
    // H is not at its own position: it is inferred.
    assert_eq!(ops(&concat(sizes(), &["n1", "h1", "v2", "v2"])), reshape(&[0, -1, 2, 2]));
    // N · 1 is still N, N · 2 is something else that can only be inferred.
    let times = |factor: &str| concat(sizes().node("Mul", &["n1", factor], &["m"], &[]), &["m", "h1", "v2"]);
    // H is copied from where it stands, and N · 2 inferred.
    let graph = times("v2").import().expect("resolvable");
    assert_eq!(graph.nodes()[0].op, Op::Reshape(ops::Reshape { shape: vec![-1, -4, 2], allow_zero: false }));
    let shapes = skimp_graph::shape::infer(&graph, &[vec![2, 3, 4, 4]]).expect("fits");
    assert_eq!(shapes.shape(graph.outputs()[0]), [12, 4, 2]);
    let error = skimp_graph::onnx::export_bytes(&graph).expect_err("ONNX needs a calculation").to_string();
    assert!(error.contains("open extents"), "{error}");
    // Two extents that are none of the input's.
    let both = sizes().node("Mul", &["n1", "v2"], &["m"], &[]).node("Mul", &["h1", "v2"], &["k"], &[]);
    let error = concat(both, &["m", "k", "v2"]).import().expect_err("two unknown extents").to_string();
    assert!(error.contains("node_y") && error.contains("more than one extent"), "{error}");
    assert_eq!(ops(&times("v1")), reshape(&[0, -1, 2]));
    // A known extent is a number.
    let channels = image()
        .node("Shape", &["x"], &["s"], &[])
        .node("Gather", &["s", "v1"], &["c"], &[])
        .node("Cast", &["c"], &["f"], &[int_attribute("to", 1)])
        .node("Cast", &["f"], &["c2"], &[int_attribute("to", 7)])
        .node("Div", &["c2", "v2"], &["half"], &[]);
    assert_eq!(ops(&concat(channels, &["half", "minus1"])), reshape(&[1, -1]));
}

/// Symbols pass through layers that keep the extent.
#[test]
fn extents_are_tracked_through_layers() {
    let model = image()
        .initializer(&floats("w", &[3, 1, 3, 3], &[0.5; 27]))
        .node("Conv", &["x", "w"], &["c"], &[int_attribute("group", 3), ints_attribute("pads", &[1, 1, 1, 1])])
        .node("Relu", &["c"], &["r"], &[])
        .node("Shape", &["r"], &["s"], &[])
        .node("Slice", &["s", "v0", "v2"], &["nc"], &[])
        .node("Concat", &["nc", "minus1"], &["target"], &[int_attribute("axis", 0)])
        .node("Reshape", &["r", "target"], &["y"], &[])
        .output("y");
    let graph = model.import().expect("resolvable");
    assert_eq!(graph.nodes()[2].op, Op::Reshape(ops::Reshape { shape: vec![0, 3, -1], allow_zero: false }));
    assert_eq!(graph, through_file(&graph));
}

/// PyTorch writes constant pads as a reversal of `[before, after]` pairs, last axis first.
#[test]
fn pytorch_pads_are_evaluated() {
    let model = image()
        .initializer(&ints("pairs", &[1, 2]))
        .initializer(&ints("six", &[6]))
        .initializer(&ints("twos", &[-1, 2]))
        .initializer(&ints("from", &[-1]))
        .initializer(&ints("to", &[i64::MIN]))
        .node("ConstantOfShape", &["six"], &["zeros"], &[tensor_attribute("value", &ints("", &[0]))])
        .node("Concat", &["pairs", "zeros"], &["all"], &[int_attribute("axis", 0)])
        .node("Reshape", &["all", "twos"], &["rows"], &[])
        .node("Slice", &["rows", "from", "to", "v0", "minus1"], &["reversed"], &[])
        .node("Transpose", &["reversed"], &["columns"], &[ints_attribute("perm", &[1, 0])])
        .node("Reshape", &["columns", "minus1"], &["flat"], &[])
        .node("Cast", &["flat"], &["pads"], &[int_attribute("to", 7)])
        .node("Pad", &["x", "pads"], &["y"], &[text_attribute("mode", "constant")])
        .output("y");
    let pad = Pad { begin: vec![0, 0, 0, 1], end: vec![0, 0, 0, 2], mode: PadMode::Constant, value: 0.0 };
    assert_eq!(ops(&model), [Op::Pad(pad)]);
}

#[test]
fn other_calculations_are_evaluated() {
    let product = image()
        .node("Shape", &["x"], &["s"], &[])
        .node("Gather", &["s", "v1"], &["c"], &[])
        .node("Gather", &["s", "three"], &["w"], &[])
        .initializer(&ints("three", &[3]))
        .node("Concat", &["c", "w"], &["cw"], &[int_attribute("axis", 0)])
        .node("ReduceProd", &["cw"], &["size"], &[int_attribute("keepdims", 1)]);
    assert_eq!(ops(&concat(product, &["minus1", "size"])), reshape(&[-1, 12]));
    let range = image().initializer(&int_scalar("i4", 4)).node("Range", &["i1", "i4", "i1"], &["r"], &[]).node(
        "Expand",
        &["minus1", "v1"],
        &["e"],
        &[],
    );
    assert_eq!(ops(&concat(range, &["r", "e"])), reshape(&[1, 2, 3, -1]));
    let floor = image()
        .initializer(&floats("half", &[1], &[0.5]))
        .node("Shape", &["x"], &["s"], &[])
        .node("Slice", &["s", "v1", "v2"], &["c"], &[])
        .node("Cast", &["c"], &["f"], &[int_attribute("to", 1)])
        .node("Mul", &["f", "half"], &["g"], &[])
        .node("Floor", &["g"], &["h"], &[])
        .node("Cast", &["h"], &["one"], &[int_attribute("to", 7)])
        .node("Squeeze", &["one", "v0"], &["scalar"], &[])
        .node("Unsqueeze", &["scalar", "v0"], &["again"], &[]);
    assert_eq!(ops(&concat(floor, &["again", "minus1"])), reshape(&[1, -1]));
}

#[test]
fn slices_to_an_open_end_reach_the_end() {
    let model = image()
        .node("Shape", &["x"], &["s"], &[])
        .initializer(&ints("three", &[3]))
        .node("Slice", &["s", "v2", "three"], &["h"], &[])
        .node("Slice", &["x", "v0", "h", "v2"], &["y"], &[])
        .output("y");
    let graph = model.import().expect("resolvable");
    assert!(matches!(&graph.nodes()[0].op, Op::Slice(slice) if slice.ends == [i64::MAX]), "{graph:?}");
}

#[test]
fn what_cannot_be_resolved_is_refused() {
    for (model, fragment) in [
        (image().node("Shape", &["x"], &["y"], &[]).output("y"), "\"y\" holds extents of an input"),
        (
            image()
                .node("Shape", &["x"], &["s"], &[])
                .node("Cast", &["s"], &["y"], &[int_attribute("to", 11)])
                .output("y"),
            "only supported as a shape",
        ),
        (
            image().input("t", INT64, &[Is(2)]).node("Reshape", &["x", "t"], &["y"], &[]).output("y"),
            "\"t\" is not known at import",
        ),
        (
            image().node("Shape", &["x"], &["s"], &[]).node("Pad", &["x", "s"], &["y"], &[]).output("y"),
            "depends on the extents of an input",
        ),
        (
            image()
                .initializer(&ints("huge", &[1 << 40]))
                .node("ConstantOfShape", &["huge"], &["z"], &[])
                .node("Reshape", &["x", "z"], &["y"], &[])
                .output("y"),
            "at most 4096 entries",
        ),
        (
            image().node("Div", &["v1", "v0"], &["z"], &[]).node("Reshape", &["x", "z"], &["y"], &[]).output("y"),
            "division by zero",
        ),
    ] {
        let error = model.import().expect_err(fragment).to_string();
        assert!(error.contains(fragment), "{error}");
    }
    // A fully known shape may be data.
    let known = Model::new(13).input("x", FLOAT, &[Is(2), Is(3)]).node("Shape", &["x"], &["y"], &[]).output("y");
    assert_eq!(known.import().expect("a constant output").nodes().len(), 0);
}

/// What is known and has more elements than any shape is data: position biases as torch looks them up, masks.
#[test]
fn constants_beyond_the_size_of_shapes_are_data() {
    let int_tensor = |name: &str, dims: &[i64], numbers: &[i64]| {
        let raw: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        tensor(name, INT64, dims, &raw)
    };
    let biases: Vec<f32> = (0..6 * 49).map(|i| i as f32).collect();
    let places: Vec<i64> = (0..49 * 49).map(|i| (i * 5) % 49).collect();
    let model = || Model::new(13).input("x", FLOAT, &[Named("N"), Is(6), Is(49), Is(49)]);
    let looked_up = model()
        .initializer(&floats("biases", &[6, 49], &biases))
        .initializer(&int_tensor("places", &[49, 49], &places))
        .node("Gather", &["biases", "places"], &["z"], &[int_attribute("axis", 1)])
        .node("Add", &["x", "z"], &["y"], &[])
        .output("y");
    let graph = looked_up.import().expect("data");
    assert_eq!(graph, through_file(&graph));
    let outputs = Reference::new(&graph).run(&[Tensor::from_f32(vec![1, 6, 49, 49], vec![0.5; 6 * 49 * 49])]).unwrap();
    let y = outputs[0].as_f32().unwrap();
    // Head 2, row 3, column 4: place 3 · 49 + 4 = 151, 755 mod 49 = 20.
    assert_eq!(y[2 * 2401 + 151].to_bits(), (2.0_f32 * 49.0 + 20.0 + 0.5).to_bits());
    let rows: Vec<i64> = (0..100).collect();
    let sums = Model::new(13)
        .input("x", INT64, &[Is(100), Is(100)])
        .initializer(&int_tensor("rows", &[100, 1], &rows))
        .initializer(&int_tensor("columns", &[1, 100], &rows))
        .node("Sub", &["rows", "columns"], &["z"], &[])
        .node("Add", &["x", "z"], &["y"], &[])
        .output("y");
    let outputs =
        Reference::new(&sums.import().expect("data")).run(&[Tensor::from_i64(vec![100, 100], vec![7; 10_000])]);
    assert_eq!(outputs.unwrap()[0].as_i64().unwrap()[101 * 3 - 1], 7 + 3 - 2);
    // The masks of recurrent layers that keras writes, where extents are fixed.
    let value = tensor_attribute("value", &floats("v", &[1], &[2.0]));
    for (op, inputs, attributes) in
        [("ConstantOfShape", &["s"][..], std::slice::from_ref(&value)), ("Expand", &["two", "s"], &[])]
    {
        let filled = Model::new(13)
            .input("x", FLOAT, &[Is(1), Is(100), Is(100)])
            .initializer(&floats("two", &[1], &[2.0]))
            .node("Shape", &["x"], &["s"], &[])
            .node(op, inputs, &["z"], attributes)
            .node("Mul", &["x", "z"], &["y"], &[])
            .output("y");
        let graph = filled.import().expect("data");
        assert_eq!(graph, through_file(&graph));
        let x = Tensor::from_f32(vec![1, 100, 100], vec![3.0; 10_000]);
        let y = Tensor::from_f32(vec![1, 100, 100], vec![6.0; 10_000]);
        assert_eq!(Reference::new(&graph).run(&[x]).unwrap(), [y], "{op}");
    }
}

/// A small file must not make the importer hold large tensors.
#[test]
fn repeated_operands_are_limited() {
    let many = vec!["i"; 100_000];
    let wide = Model::new(13)
        .initializer(&ints("i", &[7; 64]))
        .node("Concat", &many, &["y"], &[int_attribute("axis", 0)])
        .output("y");
    let error = wide.import().expect_err("too many entries").to_string();
    assert!(error.contains("entries in total"), "{error}");
}

/// With `allowzero`, what copies an open extent is still written as 0, where no extent of 0 is asked for.
#[test]
fn allowzero_with_an_open_batch() {
    let sizes = || {
        image().node("Shape", &["x"], &["n1"], &[int_attribute("start", 0), int_attribute("end", 1)]).node(
            "Shape",
            &["x"],
            &["h1"],
            &[int_attribute("start", 2), int_attribute("end", 3)],
        )
    };
    let view = |parts: &[&str]| {
        sizes()
            .initializer(&ints("zero", &[0]))
            .initializer(&ints("twelve", &[12]))
            .node("Concat", parts, &["target"], &[int_attribute("axis", 0)])
            .node("Reshape", &["x", "target"], &["y"], &[int_attribute("allowzero", 1)])
            .output("y")
    };
    assert_eq!(ops(&view(&["n1", "minus1"])), reshape(&[0, -1]));
    assert_eq!(ops(&view(&["n1", "h1", "twelve"])), reshape(&[0, -1, 12]));
    // A written 0 is an extent of 0, beside which nothing can be inferred: the open ones are copied.
    let graph = view(&["n1", "zero", "h1"]).import().expect("resolvable");
    assert_eq!(graph.nodes()[0].op, Op::Reshape(ops::Reshape { shape: vec![-2, 0, -4], allow_zero: true }));
}

/// Extents that are computed in two ways are the same where the formulas are.
#[test]
fn computed_extents_are_compared_as_formulas() {
    let doubled = |factors: &[i64]| {
        image()
            .initializer(&ints("factors", factors))
            .node("Shape", &["x"], &["s"], &[])
            .node("Mul", &["s", "factors"], &["target"], &[])
            .node("Concat", &["x", "x"], &["tall"], &[int_attribute("axis", 2)])
            .node("Reshape", &["tall", "target"], &["y"], &[])
            .output("y")
    };
    let reshaped = |model: &Model| ops(model).pop().expect("a Reshape");
    let target = |shape: &[i64]| Op::Reshape(ops::Reshape { shape: shape.to_vec(), allow_zero: false });
    assert_eq!(reshaped(&doubled(&[1, 1, 2, 1])), target(&[0, 3, 0, 4]));
    // N · 2 is inferred, the height copied.
    assert_eq!(reshaped(&doubled(&[2, 1, 2, 1])), target(&[-1, 3, 0, 4]));
    // −1 stands for 3 · 4 · 2 here, which leaves it free for N · H.
    let merged = image()
        .node("Shape", &["x"], &["s"], &[])
        .node("Slice", &["s", "v0", "v1"], &["n1"], &[])
        .node("Slice", &["s", "v2", "minus1"], &["h1"], &[])
        .node("Mul", &["n1", "h1"], &["nh"], &[])
        .node("Concat", &["nh", "minus1"], &["target"], &[int_attribute("axis", 0)])
        .node("Reshape", &["x", "target"], &["y"], &[])
        .output("y");
    assert_eq!(reshaped(&merged), target(&[-1, 12]));
}

/// Old exporters write one name for every open extent.
#[test]
fn question_marks_are_no_names() {
    let model = Model::new(13)
        .input("x", FLOAT, &[Named("?"), Is(3), Named("?"), Named("?")])
        .node("Relu", &["x"], &["y"], &[])
        .output("y");
    let graph = model.import().expect("resolvable");
    let shapes = skimp_graph::shape::infer(&graph, &[vec![2, 3, 5, 7]]).expect("every extent is open by itself");
    assert_eq!(shapes.shape(graph.outputs()[0]), [2, 3, 5, 7]);
}

/// Bounds whose differences leave 64 bits, and ranges of fractions.
#[test]
fn ranges_do_not_overflow() {
    let range = |start: i64, limit: i64, delta: i64| {
        Model::new(13)
            .input("x", FLOAT, &[Is(1)])
            .initializer(&int_scalar("start", start))
            .initializer(&int_scalar("limit", limit))
            .initializer(&int_scalar("delta", delta))
            .node("Range", &["start", "limit", "delta"], &["target"], &[])
            .node("Reshape", &["x", "target"], &["y"], &[])
            .output("y")
            .import()
    };
    assert!(range(1, 2, 1).is_ok());
    for (start, limit, delta) in
        [(i64::MIN, i64::MAX, 1), (i64::MIN, i64::MAX, i64::MAX), (i64::MAX, i64::MIN, -1), (0, i64::MAX, 1), (0, 5, 0)]
    {
        let error = range(start, limit, delta).expect_err("no shape").to_string();
        assert!(error.contains("node_"), "{error}");
    }
}

/// Initial states of recurrent layers, whose batch is open: `zeros(2, x.size(0), 3)` and `full(..).expand(..)`.
#[test]
fn tensors_of_open_extents_are_made_when_the_network_runs() {
    let base = image()
        .initializer(&ints("v3", &[3]))
        .initializer(&floats("half", &[3], &[0.5, 0.25, 2.0]))
        .node("Shape", &["x"], &["s"], &[])
        .node("Gather", &["s", "v0"], &["n"], &[])
        .node("Gather", &["s", "v2"], &["h"], &[])
        .node("Concat", &["v2", "n", "h", "v3"], &["states"], &[int_attribute("axis", 0)]);
    let filled = |model: Model| {
        let graph = model.output("y").import().expect("resolvable");
        let x = Tensor::from_f32(vec![5, 3, 7, 4], vec![f32::NAN; 420]);
        let run = |graph: &Graph| Reference::new(graph).run(std::slice::from_ref(&x)).expect("it fits").remove(0);
        let y = run(&graph);
        // Not by `==`: some of them hold NaN.
        assert_eq!(format!("{:?}", run(&through_file(&graph))), format!("{y:?}"));
        y
    };
    let y = filled(base.clone().node("ConstantOfShape", &["states"], &["y"], &[]));
    assert_eq!(y, Tensor::from_f32(vec![2, 5, 7, 3], vec![0.0; 210]));
    let y = filled(base.clone().node("Expand", &["half", "states"], &["y"], &[]));
    assert_eq!(y, Tensor::from_f32(vec![2, 5, 7, 3], [0.5, 0.25, 2.0].repeat(70)));
    // Of a computed value of one element.
    let cut = base.clone().node("ReduceMean", &["x"], &["cut"], &[]);
    let y = filled(cut.clone().node("Expand", &["cut", "states"], &["y"], &[]));
    assert_eq!((y.shape(), y.as_f32().expect("f32").iter().all(|x| x.is_nan())), (&[2, 5, 7, 3][..], true));
    let y = filled(cut.node("Tile", &["cut", "states"], &["y"], &[]));
    assert_eq!(y.shape(), [2, 5, 7, 3]);
    // 0, 1, .. along an open extent, as integers and as floats.
    let range = base.clone().initializer(&scalar("zero", 0.0)).initializer(&scalar("one", 1.0));
    let range = range.node("Gather", &["s", "i0"], &["count"], &[]);
    let y = filled(range.clone().node("Range", &["i0", "count", "i1"], &["y"], &[]));
    assert_eq!(y, Tensor::from_i64(vec![5], vec![0, 1, 2, 3, 4]));
    let to_float = [int_attribute("to", i64::from(FLOAT))];
    let range = range.node("Cast", &["count"], &["limit"], &to_float);
    let y = filled(range.node("Range", &["zero", "limit", "one"], &["y"], &[]));
    assert_eq!(y, Tensor::from_f32(vec![5], vec![0.0, 1.0, 2.0, 3.0, 4.0]));
    let sevens = tensor("value", INT64, &[1], &7_i64.to_le_bytes());
    let y = filled(base.node("ConstantOfShape", &["n"], &["y"], &[tensor_attribute("value", &sevens)]));
    assert_eq!(y, Tensor::from_i64(vec![5], vec![7; 5]));
}

/// `x.expand(-1, 3, ..)` as PyTorch's TorchScript exporter writes it: where an extent is −1, 1 is meant.
#[test]
fn extents_are_compared_with_minus_one() {
    let model = image()
        .initializer(&ints("wanted", &[2, -1]))
        .node("Shape", &["x"], &["s"], &[])
        .node("Gather", &["s", "v0"], &["n"], &[])
        .node("Concat", &["wanted", "v1", "n"], &["t"], &[int_attribute("axis", 0)])
        .node("Equal", &["t", "minus1"], &["is"], &[])
        .node("ConstantOfShape", &["four"], &["ones"], &[tensor_attribute("value", &ints("v", &[1]))])
        .initializer(&ints("four", &[4]))
        .node("Where", &["is", "ones", "t"], &["target"], &[])
        .node("ReduceMean", &["x"], &["mean"], &[])
        .node("Expand", &["mean", "target"], &["y"], &[])
        .output("y");
    let graph = model.import().expect("extents are never negative");
    let x = Tensor::from_f32(vec![5, 3, 1, 4], vec![2.0; 60]);
    let y = Reference::new(&graph).run(&[x]).expect("it fits").remove(0);
    assert_eq!(y, Tensor::from_f32(vec![2, 1, 1, 5], vec![2.0; 10]));
}

/// `F.local_response_norm` and its kin ask for the rank of what they get.
#[test]
fn branches_whose_condition_is_known_stand_in_place_of_the_choice() {
    let branch = |op: &str, label: &str| {
        let graph = Message::new()
            .message(1, &node(op, &["x"], &["inner"], &[]))
            .message(1, &node("Mul", &["inner", "two"], &["out"], &[]))
            .message(5, &floats("two", &[], &[2.0]))
            .message(12, &Message::new().text(1, "out"));
        Message::new().text(1, label).int(20, 5).message(6, &graph)
    };
    let choice = |rank: i64, outputs: [&str; 2]| {
        let branches = [branch("Neg", "then_branch"), branch("Abs", "else_branch")];
        image()
            .initializer(&ints("rank", &[rank]))
            .node("Shape", &["x"], &["s"], &[])
            .node("Shape", &["s"], &["r"], &[])
            .node("Equal", &["r", "rank"], &["is"], &[])
            .node("If", &["is"], &outputs[..1], &branches)
            .node("If", &["is"], &outputs[1..], &branches)
            .node("Add", &["first", "second"], &["y"], &[])
            .output("y")
    };
    for (rank, expected) in [(4, -4.0), (3, 4.0)] {
        let graph = choice(rank, ["first", "second"]).import().expect("the rank is known");
        assert_eq!(graph, through_file(&graph));
        let x = Tensor::from_f32(vec![1, 3, 1, 4], vec![1.0; 12]);
        let y = Reference::new(&graph).run(&[x]).expect("it fits").remove(0);
        assert_eq!(y.as_f32().expect("f32"), [expected; 12]);
    }
    let open = Model::new(13)
        .input("x", FLOAT, &[Is(2)])
        .input("is", BOOL, &[])
        .node("If", &["is"], &["y"], &[branch("Neg", "then_branch"), branch("Abs", "else_branch")])
        .output("y");
    let graph = open.import().expect("both branches give the same type");
    for (is, expected) in [(true, -2.0), (false, 2.0)] {
        let inputs = [Tensor::from_f32(vec![2], vec![1.0; 2]), Tensor::new(vec![], vec![is].into()).expect("a scalar")];
        let y = Reference::new(&graph).run(&inputs).expect("it fits").remove(0);
        assert_eq!(y.as_f32().expect("f32"), [expected; 2]);
    }
}
