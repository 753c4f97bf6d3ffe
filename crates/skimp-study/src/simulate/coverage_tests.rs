//! Nothing is left out in silence: what designs simulate and what they list adds up to the network, for any network.

use skimp_digital::ACCELERATORS;
use skimp_graph::ops;
use skimp_graph::rewrite::{Edge, Editor};
use skimp_graph::testing::random_tensor;
use skimp_graph::{AutoPad, DType, Dim, Gemm, Graph, GraphBuilder, Op, ValueId, Window};
use skimp_numerics::rng::{Draws, stream};
use skimp_quant::{FirstLayer, QuantizationConfig};

use crate::inputs::config::DataConfig;
use crate::inputs::network::Network;
use crate::monitor::Silent;
use crate::simulate::accelerators::accelerator_configs;
use crate::simulate::config::LayersConfig;
use crate::simulate::designs::Designs;
use crate::simulate::pricing::CostsConfig;
use crate::simulate::session::{SimulateConfig, simulate};
use crate::stages::evaluate::{Engine, EvaluateConfig, evaluate};
use crate::stages::inspect::inspect;

fn window(kernel: &[usize], stride: usize, pad: usize) -> Window {
    let n = kernel.len();
    Window {
        kernel: kernel.to_vec(),
        strides: vec![stride; n],
        dilations: vec![1; n],
        pads_begin: vec![pad; n],
        pads_end: vec![pad; n],
        auto_pad: AutoPad::NotSet,
        ceil_mode: false,
    }
}

fn network(graph: Graph) -> Network {
    Network {
        name: graph.name().to_owned(),
        graph,
        path: None,
        sha256: String::new(),
        size_bytes: 0,
        is_untrained: true,
    }
}

/// A network under construction whose features are `[n, channels, side, side]`.
struct Drawn {
    seed: u64,
    draws: Draws,
    builder: GraphBuilder,
    n_nodes: usize,
}

const CHANNELS: usize = 8;
const SIDE: usize = 4;

impl Drawn {
    fn node(&mut self, op: Op, x: ValueId, weights: &[Vec<usize>]) -> ValueId {
        self.n_nodes += 1;
        let name = format!("{}{}", op.name().to_lowercase(), self.n_nodes);
        let mut inputs = vec![x];
        for (i, shape) in weights.iter().enumerate() {
            let weight = format!("{name}.{i}");
            let tensor = random_tensor(self.seed, &weight, shape.clone(), 0.0, 0.3);
            inputs.push(self.builder.constant(weight, tensor));
        }
        self.builder.node(name, op, &inputs)
    }

    fn conv(
        &mut self,
        x: ValueId,
        kernel: &[usize],
        channels: (usize, usize),
        groups: usize,
        stride: usize,
    ) -> ValueId {
        let pad = kernel[0] / 2;
        let weight = [channels.1, channels.0 / groups].iter().chain(kernel).copied().collect();
        let op = Op::Conv(ops::Conv { window: window(kernel, stride, pad), groups });
        let y = self.node(op, x, &[weight, vec![channels.1]]);
        self.node(Op::Relu, y, &[])
    }

    fn reshape(&mut self, x: ValueId, shape: &[i64]) -> ValueId {
        self.node(Op::Reshape(ops::Reshape { shape: shape.to_vec(), allow_zero: false }), x, &[])
    }

    /// One drawn piece, from features to features.
    fn piece(&mut self, x: ValueId) -> ValueId {
        let (c, side, area) = (CHANNELS as i64, SIDE as i64, (SIDE * SIDE) as i64);
        let back = [0, c, side, side];
        match self.draws.below(7) {
            0 => {
                let groups = [1, 2, CHANNELS][self.draws.below(3)];
                self.conv(x, &[3, 3], (CHANNELS, CHANNELS), groups, 1)
            }
            1 => {
                let line = self.reshape(x, &[0, c, area]);
                let groups = [1, 2][self.draws.below(2)];
                let y = self.conv(line, &[3], (CHANNELS, CHANNELS), groups, 1);
                self.reshape(y, &back)
            }
            2 => {
                let cube = self.reshape(x, &[0, 2, c / 2, side, side]);
                let y = self.conv(cube, &[3, 3, 3], (2, 2), 1, 1);
                self.reshape(y, &back)
            }
            // MatMul on two to four axes, each row of `c` numbers.
            3 => {
                let shapes = [vec![-1, c], vec![0, area, c], vec![0, side, side, c]];
                let drawn = self.draws.below(3);
                let rows = self.reshape(x, &shapes[drawn]);
                let y = self.node(Op::MatMul, rows, &[vec![CHANNELS, CHANNELS]]);
                let y = self.node(Op::Add, y, &[vec![CHANNELS]]);
                let y = self.node(Op::Relu, y, &[]);
                self.reshape(y, &[-1, c, side, side])
            }
            4 => {
                let rows = self.reshape(x, &[-1, c]);
                let trans_b = self.draws.chance(0.5);
                let op = Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b });
                let y = self.node(op, rows, &[vec![CHANNELS, CHANNELS], vec![CHANNELS]]);
                self.reshape(y, &[-1, c, side, side])
            }
            // A product of two activations, as in attention.
            5 => {
                let keys = self.reshape(x, &[0, c, area]);
                let values = self.node(Op::Transpose(ops::Transpose { perm: vec![0, 2, 1] }), keys, &[]);
                self.n_nodes += 1;
                let scores = self.builder.node(format!("scores{}", self.n_nodes), Op::MatMul, &[keys, values]);
                let scores = self.node(Op::Softmax(ops::Softmax { axis: -1 }), scores, &[]);
                self.n_nodes += 1;
                let mixed = self.builder.node(format!("mixed{}", self.n_nodes), Op::MatMul, &[scores, keys]);
                self.reshape(mixed, &back)
            }
            _ => self.conv(x, &[1, 1], (CHANNELS, CHANNELS), 1, 1),
        }
    }
}

/// A network on images of the sample, of `n_pieces` drawn pieces.
fn drawn(seed: u64, n_pieces: usize, batch: Dim) -> Network {
    let mut builder = GraphBuilder::new(format!("drawn{seed}"));
    let x = builder.input("x", DType::F32, vec![batch, Dim::Fixed(3), Dim::Fixed(32), Dim::Fixed(32)]);
    let mut drawn = Drawn { seed, draws: Draws::new(seed, stream("coverage")), builder, n_nodes: 0 };
    let mut y = drawn.conv(x, &[3, 3], (3, CHANNELS), 1, 8);
    for _ in 0..n_pieces {
        y = drawn.piece(y);
    }
    let flat = drawn.node(Op::Flatten(ops::Flatten { axis: 1 }), y, &[]);
    let logits = drawn.node(Op::MatMul, flat, &[vec![CHANNELS * SIDE * SIDE, 10]]);
    drawn.builder.output(logits);
    network(drawn.builder.build().unwrap())
}

fn data() -> DataConfig {
    DataConfig { set: "sample".into(), accuracy_images: 4, ..DataConfig::default() }
}

fn quantization(bits: u32) -> QuantizationConfig {
    QuantizationConfig {
        weight_bits: bits,
        activation_bits: bits,
        calibration_images: 2,
        ..QuantizationConfig::default()
    }
}

fn every_design(layers: LayersConfig) -> SimulateConfig {
    let names: Vec<String> = ACCELERATORS
        .iter()
        .map(|model| model.name().to_owned())
        .filter(|name| !skimp_testkit::BINARY_DESIGNS.contains(&name.as_str()))
        .collect();
    SimulateConfig {
        data: DataConfig { accuracy_images: 0, ..data() },
        input_size: None,
        quantization: quantization(8),
        layers,
        designs: Designs::embedded(),
        accelerators: accelerator_configs(&Designs::embedded(), &names, &[], &[]).unwrap(),
        costs: CostsConfig::Auto,
        allowed_loss_points: 1.0,
        chips: None,
        dump: None,
        trace: None,
    }
}

#[test]
fn what_is_simulated_and_what_is_listed_adds_up_to_the_network() {
    let mut n_left_out = 0;
    for seed in 0..12 {
        let network = drawn(seed, 3, Dim::Free("n".to_owned()));
        let inspected = inspect(&network, None).unwrap();
        let record = simulate(&network, &every_design(LayersConfig::default()), &Silent).unwrap().record;
        let simulated = record.simulated.as_ref().unwrap();
        assert_eq!(simulated.network_macs, inspected.total.macs, "seed {seed}");
        for left_out in &simulated.left_out {
            let layer = inspected.layers.iter().find(|layer| layer.name == left_out.name).unwrap();
            assert_eq!((layer.operator, layer.macs), (left_out.operator.as_str(), left_out.macs));
            let known = ["two activations", "three axes"];
            assert!(known.iter().any(|reason| left_out.reason.contains(reason)), "seed {seed}: {left_out:?}");
        }
        n_left_out += simulated.left_out.len();
        assert_eq!(record.accelerators.len() + skimp_testkit::BINARY_DESIGNS.len(), ACCELERATORS.len());
        for accelerator in &record.accelerators {
            let macs: u64 = accelerator.layers.iter().map(|layer| layer.macs).sum();
            // A product of two activations is a layer to some designs, and left out of what all of them cover.
            let (own, lacking): (Vec<_>, Vec<_>) = simulated
                .left_out
                .iter()
                .partition(|left_out| accelerator.layers.iter().any(|layer| layer.name == left_out.name));
            let listed: u64 = lacking.iter().map(|layer| layer.macs).sum();
            assert_eq!(macs + listed, inspected.total.macs, "seed {seed}, {}", accelerator.label);
            for layer in &accelerator.layers {
                let inspected = inspected.layers.iter().find(|known| known.name == layer.name).unwrap();
                assert_eq!((layer.macs, layer.operator.as_str()), (inspected.macs, inspected.operator));
                assert!(layer.cycles.total > 0, "seed {seed}, {}: {}", accelerator.label, layer.name);
            }
            let percent = accelerator.total.simulated_percent;
            assert_eq!(own.is_empty(), percent.to_bits() == simulated.percent.to_bits(), "seed {seed}");
            assert!(own.iter().all(|layer| layer.reason.contains(&accelerator.label)), "seed {seed}: {own:?}");
        }
    }
    assert!(n_left_out > 0);
}

#[test]
fn kinds_of_layer_that_a_run_does_not_want_are_listed() {
    let network = drawn(4, 2, Dim::Free("n".to_owned()));
    let config = SimulateConfig {
        designs: Designs::embedded(),
        accelerators: accelerator_configs(&Designs::embedded(), &["dadiannao".to_owned()], &[], &[]).unwrap(),
        ..every_design(LayersConfig { dense: false, ..LayersConfig::default() })
    };
    let simulated = simulate(&network, &config, &Silent).unwrap().record.simulated.unwrap();
    assert!(simulated.percent < 100.0);
    assert!(simulated.left_out.iter().any(|layer| layer.reason == "the run leaves dense layers out"), "{simulated:?}");
}

#[test]
fn the_integer_engine_says_what_ran_in_integers() {
    for seed in 0..12 {
        let network = drawn(seed, 3, Dim::Free("n".to_owned()));
        let config = EvaluateConfig {
            data: data(),
            input_size: None,
            engine: Some(Engine::Integer),
            order: skimp_cpu::Order::Exact,
            quantization: quantization(4),
        };
        let record = evaluate(&network, &config, &Silent).unwrap();
        let coverage = record.in_integers.unwrap();
        assert_eq!(coverage.network_macs, inspect(&network, None).unwrap().total.macs);
        let floats: u64 = coverage.left_out.iter().map(|layer| layer.macs).sum();
        assert_eq!(coverage.macs + floats, coverage.network_macs);
        let expected =
            |name: &str, operator: &str| name.starts_with("scores") || name.starts_with("mixed") || operator == "Conv";
        assert!(coverage.left_out.iter().all(|layer| expected(&layer.name, &layer.operator)), "{coverage:?}");
        let float = EvaluateConfig { engine: Some(Engine::Cpu), ..config };
        assert!(evaluate(&network, &float, &Silent).unwrap().in_integers.is_none());
    }
}

/// `graph` with another first extent of its input.
fn with_batch(graph: &Graph, batch: usize) -> Graph {
    let mut dims = graph.inputs()[0].dims.clone();
    dims[0] = Dim::Fixed(batch);
    let mut editor = Editor::new(graph);
    editor.set_input_dims(0, dims).unwrap();
    editor.finish().unwrap()
}

/// Of a network that cannot be freed the batch stays, and copies of the last image fill it up.
fn with_batch_that_stays(graph: &Graph, batch: usize) -> Graph {
    let fixed = with_batch(graph, batch);
    let mut editor = Editor::new(&fixed);
    let all = |shape: &[i64]| Op::Reshape(ops::Reshape { shape: shape.to_vec(), allow_zero: false });
    editor.insert(Edge::Output(0), "one-row", all(&[1, -1]), &[]).unwrap();
    editor.insert(Edge::Output(0), "rows", all(&[batch as i64, -1]), &[]).unwrap();
    let fixed = editor.finish().unwrap();
    assert!(batch == 1 || skimp_graph::rewrite::free_batch(&fixed).is_none());
    fixed
}

#[test]
fn a_fixed_batch_changes_no_answer() {
    let free = Network::open("sample-resnet").unwrap();
    let data = DataConfig { accuracy_images: 10, images: 3, ..data() };
    let names = ["compreend", "dadiannao", "snapea"].map(str::to_owned);
    let simulate_config = SimulateConfig {
        data: DataConfig { accuracy_images: 10, ..data.clone() },
        designs: Designs::embedded(),
        accelerators: accelerator_configs(&Designs::embedded(), &names, &[], &[]).unwrap(),
        quantization: QuantizationConfig { calibration_images: 4, ..quantization(8) },
        ..every_design(LayersConfig::default())
    };
    let run = |network: &Network, engine| {
        let quantization = QuantizationConfig { calibration_images: 4, ..quantization(8) };
        let config = EvaluateConfig {
            data: data.clone(),
            input_size: None,
            engine: Some(engine),
            order: skimp_cpu::Order::Exact,
            quantization,
        };
        let record = evaluate(network, &config, &Silent).unwrap();
        (record.images, record.correct, record.correct_top5)
    };
    let simulated = simulate(&free, &simulate_config, &Silent).unwrap();
    let graphs = [1, 4].map(|batch| (batch, with_batch(&free.graph, batch)));
    for (batch, graph) in graphs.into_iter().chain([(4, with_batch_that_stays(&free.graph, 4))]) {
        let fixed = Network { graph, ..free.clone() };
        for engine in [Engine::Reference, Engine::Cpu, Engine::Integer] {
            assert_eq!(run(&fixed, engine), run(&free, engine), "batch {batch}, {engine:?}");
        }
        let found = simulate(&fixed, &simulate_config, &Silent).unwrap();
        let totals = |record: &skimp_report::SimulationRecord| {
            record.accelerators.iter().map(|a| a.total.clone()).collect::<Vec<_>>()
        };
        assert_eq!(totals(&found.record), totals(&simulated.record), "batch {batch}");
        // Reshapes between the last layer and the output are another reason why its sums are not stopped early.
        if fixed.graph.nodes().len() == free.graph.nodes().len() {
            assert_eq!(found.record.accelerators, simulated.record.accelerators, "batch {batch}");
            assert_eq!(found.record.simulated, simulated.record.simulated, "batch {batch}");
            assert_eq!(found.layers, simulated.layers, "batch {batch}");
        }
    }
}

/// `graph` for images channels last, as exporters of such networks write it: its input and every ReLU between transposes.
fn channels_last(graph: &Graph) -> Graph {
    let first = |perm: [usize; 4]| Op::Transpose(ops::Transpose { perm: perm.to_vec() });
    let mut editor = Editor::new(graph);
    let input = &graph.inputs()[0];
    let [n, c, h, w] = input.dims.clone().try_into().unwrap();
    editor.set_input_dims(0, vec![n, h, w, c]).unwrap();
    editor.insert(Edge::Value(input.value), "first", first([0, 3, 1, 2]), &[]).unwrap();
    for node in graph.nodes().iter().filter(|node| matches!(node.op, Op::Relu)) {
        let edge = Edge::Input { node: &node.name, input: 0 };
        editor.insert(edge, &format!("{}.last", node.name), first([0, 2, 3, 1]), &[]).unwrap();
        let edge = Edge::Value(node.outputs[0]);
        editor.insert(edge, &format!("{}.first", node.name), first([0, 3, 1, 2]), &[]).unwrap();
    }
    editor.finish().unwrap()
}

#[test]
fn images_channels_last_change_no_answer() {
    let first = Network::open("sample-resnet").unwrap();
    let last = Network { graph: channels_last(&first.graph), ..first.clone() };
    let data = DataConfig { accuracy_images: 10, images: 3, ..data() };
    let names = ["compreend", "dadiannao"].map(str::to_owned);
    let quantization = QuantizationConfig { calibration_images: 4, ..quantization(8) };
    let simulate_config = SimulateConfig {
        data: DataConfig { accuracy_images: 10, ..data.clone() },
        designs: Designs::embedded(),
        accelerators: accelerator_configs(&Designs::embedded(), &names, &[], &[]).unwrap(),
        quantization,
        ..every_design(LayersConfig::default())
    };
    let run = |network: &Network, engine| {
        let config = EvaluateConfig {
            data: data.clone(),
            input_size: None,
            engine: Some(engine),
            order: skimp_cpu::Order::Exact,
            quantization,
        };
        let record = evaluate(network, &config, &Silent).unwrap();
        (record.images, record.correct, record.correct_top5)
    };
    for engine in [Engine::Reference, Engine::Cpu, Engine::Integer] {
        assert_eq!(run(&last, engine), run(&first, engine), "{engine:?}");
    }
    let (found, expected) = [&last, &first].map(|network| simulate(network, &simulate_config, &Silent).unwrap()).into();
    assert_eq!(found.record.accelerators, expected.record.accelerators);
    assert_eq!(found.layers, expected.layers);
}

#[test]
fn an_offset_changes_no_sum_and_no_answer() {
    let network = Network::open("sample-resnet").unwrap();
    let run = |first_layer| {
        let quantization = QuantizationConfig { first_layer, calibration_images: 4, ..quantization(8) };
        let data = DataConfig { preprocess: Some("sample".to_owned()), ..data() };
        let config = EvaluateConfig {
            data: data.clone(),
            input_size: None,
            engine: Some(Engine::Integer),
            order: skimp_cpu::Order::Exact,
            quantization,
        };
        let correct = evaluate(&network, &config, &Silent).unwrap().correct;
        // SnaPEA compares all its sums with the exact ones, the others 32 outputs of each layer.
        let simulate_config = SimulateConfig { quantization, ..every_design(LayersConfig::default()) };
        (correct, simulate(&network, &simulate_config, &Silent).unwrap())
    };
    let (signed, _) = run(FirstLayer::Signed);
    let (offset, simulation) = run(FirstLayer::Offset);
    assert_eq!(signed, offset);
    // Codes that an offset makes positive are hardly ever 0.
    assert!(simulation.layers[0].activation_density > 0.9, "{}", simulation.layers[0].activation_density);
}

/// Eight rows times eight columns of a value and its own transpose, behind a convolution and a mean.
fn with_product(seed: u64) -> Network {
    let mut builder = GraphBuilder::new("product");
    let dims = [Dim::Free("n".to_owned()), Dim::Fixed(3), Dim::Fixed(32), Dim::Fixed(32)];
    let x = builder.input("x", DType::F32, dims.to_vec());
    let mut drawn = Drawn { seed, draws: Draws::new(seed, stream("coverage")), builder, n_nodes: 0 };
    let y = drawn.conv(x, &[3, 3], (3, CHANNELS), 1, 8);
    let rows = drawn.reshape(y, &[0, CHANNELS as i64, -1]);
    let columns = drawn.node(Op::Transpose(ops::Transpose { perm: vec![0, 2, 1] }), rows, &[]);
    let products = drawn.builder.node("products", Op::MatMul, &[rows, columns]);
    let flat = drawn.node(Op::Flatten(ops::Flatten { axis: 1 }), products, &[]);
    let logits = drawn.node(Op::MatMul, flat, &[vec![CHANNELS * CHANNELS, 10]]);
    drawn.builder.output(logits);
    network(drawn.builder.build().unwrap())
}

#[test]
fn a_product_of_two_activations_is_a_layer_to_designs_that_take_it() {
    let network = with_product(1);
    let simulated = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let accelerators = accelerator_configs(&Designs::embedded(), &names, &[], &[]).unwrap();
        simulate(&network, &SimulateConfig { accelerators, ..every_design(LayersConfig::default()) }, &Silent).unwrap()
    };
    let found = simulated(&["eyeriss", "systolic", "tpu-v1"]);
    let coverage = found.record.simulated.as_ref().unwrap();
    assert!(coverage.is_whole(), "{:?}", coverage.left_out);
    assert!(found.in_integers.as_ref().is_some_and(|coverage| coverage.is_whole()));
    let product = found.record.other_layers.iter().find(|layer| layer.name == "products").unwrap();
    let pixels = product.reads[0].elements / CHANNELS as u64;
    for accelerator in &found.record.accelerators {
        let layer = accelerator.layers.iter().find(|layer| layer.name == "products").unwrap();
        assert_eq!((layer.macs, layer.operator.as_str()), (CHANNELS as u64 * CHANNELS as u64 * pixels, "MatMul"));
        assert!(layer.cycles.total > 0 && accelerator.total.simulated_percent.to_bits() == 100_f64.to_bits());
    }
    // One that does not know it: the layer is listed, with those that do.
    let found = simulated(&["systolic", "dadiannao"]).record;
    let left_out = &found.simulated.as_ref().unwrap().left_out;
    assert_eq!(left_out.len(), 1);
    assert!(left_out[0].reason.ends_with("in the totals of systolic alone"), "{}", left_out[0].reason);
    let percents: Vec<f64> = found.accelerators.iter().map(|one| one.total.simulated_percent).collect();
    assert!(percents[0] > 99.99 && percents[1] < 99.99, "{percents:?}");
}

/// What the layers without weights read, write and compute, by hand: 8 channels of 4 x 4 under a 2 x 2 maximum, then the mean
/// of what is left, and a product of two activations among them.
#[test]
fn layers_without_weights_are_listed_with_their_traffic() {
    let mut builder = GraphBuilder::new("pooled");
    let dims = [Dim::Free("n".to_owned()), Dim::Fixed(3), Dim::Fixed(32), Dim::Fixed(32)];
    let x = builder.input("x", DType::F32, dims.to_vec());
    let mut drawn = Drawn { seed: 1, draws: Draws::new(1, stream("coverage")), builder, n_nodes: 0 };
    let y = drawn.conv(x, &[3, 3], (3, CHANNELS), 1, 8);
    let y = drawn.node(Op::MaxPool(ops::MaxPool { window: window(&[2, 2], 2, 0) }), y, &[]);
    let y = drawn.node(Op::GlobalAveragePool, y, &[]);
    let rows = drawn.reshape(y, &[0, 2, CHANNELS as i64 / 2]);
    let columns = drawn.node(Op::Transpose(ops::Transpose { perm: vec![0, 2, 1] }), rows, &[]);
    let products = drawn.builder.node("products", Op::MatMul, &[rows, columns]);
    let flat = drawn.node(Op::Flatten(ops::Flatten { axis: 1 }), products, &[]);
    let logits = drawn.node(Op::MatMul, flat, &[vec![4, 10]]);
    drawn.builder.output(logits);
    let network = network(drawn.builder.build().unwrap());
    let config = SimulateConfig {
        designs: Designs::embedded(),
        accelerators: accelerator_configs(
            &Designs::embedded(),
            &["dadiannao".to_owned(), "stripes".to_owned()],
            &[],
            &[],
        )
        .unwrap(),
        ..every_design(LayersConfig::default())
    };
    let record = simulate(&network, &config, &Silent).unwrap().record;
    let find = |operator: &str| record.other_layers.iter().find(|layer| layer.operator == operator).unwrap();
    let pool = find("MaxPool");
    assert_eq!((pool.kind.as_str(), pool.kernel, pool.strides), ("pool", Some([2, 2]), Some([2, 2])));
    assert_eq!((pool.read_bytes, pool.written_bytes, pool.work["comparisons"]), (128, 32, 8 * 4 * 3));
    let mean = find("GlobalAveragePool");
    // Eight codes of a byte for each of four pixels, and eight codes for the product.
    assert_eq!((mean.read_bytes, mean.written_bytes), (32, 8));
    assert_eq!((mean.work["additions"], mean.work["multiplications"]), (8 * 3, 8));
    let transpose = find("Transpose");
    assert_eq!((transpose.kind.as_str(), transpose.work.len()), ("move", 0));
    let product = record.other_layers.iter().find(|layer| layer.name == "products").unwrap();
    assert_eq!((product.kind.as_str(), product.work["macs"]), ("product", 2 * 2 * CHANNELS as u64 / 2));
    assert_eq!(product.reads.iter().map(|operand| operand.elements).collect::<Vec<_>>(), [8, 8]);
    // Renamed axes and conversions are no layers, and no design knows any of these.
    assert_eq!(record.other_layers.len(), 4);
    let labels: Vec<&str> = record.accelerators.iter().map(|accelerator| accelerator.label.as_str()).collect();
    for layer in &record.other_layers {
        assert_eq!(layer.not_modelled_by, labels);
    }
    assert!(record.accelerators.iter().all(|accelerator| accelerator.other_layers.is_empty()));
    let text = skimp_report::views::simulation_text(&record, None);
    assert!(text.contains("Not modelled by dadiannao, stripes: 4 layers without weights, traffic only"), "{text}");
}
