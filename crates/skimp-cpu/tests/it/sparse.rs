//! Networks with many weights that are zero.

use skimp_cpu::{CpuExecutor, Zeros};
use skimp_graph::networks::{self, Weights};
use skimp_graph::reference::Reference;
use skimp_graph::rewrite::Editor;
use skimp_graph::testing::random_tensor;
use skimp_graph::{Executor, Graph, Op, Tensor, shape};
use skimp_numerics::rng::{Draws, stream};

use super::{RELATIVE, bits, difference, with_threads};

/// The network with this share of the weights of convolutions and dense layers left.
fn thinned(name: &str, density: f64) -> Graph {
    let graph = networks::build(name, Weights::Seeded(1)).expect("built in");
    let mut draws = Draws::new(7, stream("sparse/weights"));
    let mut editor = Editor::new(&graph);
    for node in graph.nodes().iter().filter(|node| matches!(node.op, Op::Conv(_) | Op::Gemm(_))) {
        let id = node.inputs[1].expect("a weight");
        let weight = graph.constant(id).expect("a constant");
        let values = weight.as_f32().expect("floats").iter();
        let values = values.map(|&w| if draws.chance(density) { w } else { 0.0 }).collect();
        editor.set_constant(id, Tensor::from_f32(weight.shape().to_vec(), values)).expect("the same shape");
    }
    editor.finish().expect("valid")
}

fn inputs(graph: &Graph, batch: usize) -> Vec<Tensor> {
    let shapes = shape::bind(graph, batch, None).expect("bound");
    shapes.into_iter().map(|shape| random_tensor(2, "x", shape, 0.0, 1.0)).collect()
}

#[test]
fn networks_without_their_zeros_match_the_reference() {
    for name in
        ["resnet20", "resnet20:shortcut=projection", "vgg16-cifar", "squeezenet-1.0:size=64", "mobilenet-v1:size=32"]
    {
        let Ok(graph) = networks::build(name, Weights::Seeded(1)).map(|_| thinned(name, 0.1)) else {
            assert!(name.contains(':'), "{name} is built in");
            continue;
        };
        let x = inputs(&graph, 2);
        let expected = Reference::new(&graph).run(&x).expect("the reference runs");
        for zeros in [Zeros::LeftOut, Zeros::LeftOutWhereItPays, Zeros::Multiplied] {
            let executor = CpuExecutor::with_zeros(&graph, zeros).expect("constants evaluate");
            let outputs = with_threads(1, || executor.run(&x)).expect("runs");
            let off = difference(&outputs[0], &expected[0]);
            assert!(off <= RELATIVE, "{name} {zeros:?}: off by {off}");
            for n_threads in [2, 3] {
                let other = with_threads(n_threads, || executor.run(&x)).expect("runs");
                assert_eq!(bits(&other), bits(&outputs), "{name} {zeros:?}: threads change bits");
            }
            let one: Vec<Tensor> = x.iter().map(|x| super::image(x, 1)).collect();
            let single = with_threads(3, || executor.run(&one)).expect("runs");
            assert_eq!(
                bits(&[super::image(&outputs[0], 1)]),
                bits(&single),
                "{name} {zeros:?}: the batch changes bits"
            );
        }
    }
}

#[test]
fn zeros_are_left_out_where_that_pays() {
    let shapes = vec![vec![1, 3, 32, 32]];
    let sparse = |graph: &Graph, zeros| {
        let executor = CpuExecutor::with_zeros(graph, zeros).expect("constants evaluate");
        executor.sparse_layers(&shapes).expect("fits")
    };
    let (dense, thin) = (thinned("resnet20", 0.9), thinned("resnet20", 0.1));
    let n_convs = dense.nodes().iter().filter(|node| matches!(node.op, Op::Conv(_))).count();
    assert_eq!(sparse(&dense, Zeros::default()), Vec::<String>::new());
    assert_eq!(sparse(&thin, Zeros::Multiplied), Vec::<String>::new());
    assert!(sparse(&thin, Zeros::LeftOut).len() > n_convs);
    let chosen = sparse(&thin, Zeros::default());
    assert!(chosen.len() >= n_convs - 4 && chosen.len() <= n_convs, "{chosen:?}");
    // Nothing but the layers decides.
    for n_threads in [1, 3] {
        assert_eq!(with_threads(n_threads, || sparse(&thin, Zeros::default())), chosen);
    }
    let executor = CpuExecutor::new(&thin).expect("constants evaluate");
    assert_eq!(executor.sparse_layers(&[vec![5, 3, 32, 32]]).expect("fits"), chosen);
    assert!(executor.sparse_layers(&[vec![1, 4, 32, 32]]).is_err());
}

/// What the documentation says of infinite activations.
#[test]
fn products_of_zero_and_infinity_are_left_out() {
    let graph = thinned("resnet20", 0.0);
    let x = [Tensor::from_f32(vec![1, 3, 32, 32], vec![f32::INFINITY; 3 * 32 * 32])];
    let run = |zeros| CpuExecutor::with_zeros(&graph, zeros).expect("constants evaluate").run(&x).expect("runs");
    assert!(run(Zeros::LeftOut)[0].as_f32().expect("floats").iter().all(|y| y.is_finite()));
    assert!(run(Zeros::Multiplied)[0].as_f32().expect("floats").iter().all(|y| y.is_nan()));
}
