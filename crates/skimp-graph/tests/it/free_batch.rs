//! Networks that fix their batch, with an open one.

use skimp_graph::ops;
use skimp_graph::reference::Reference;
use skimp_graph::rewrite::{Editor, free_batch};
use skimp_graph::testing::{ElementTypes, random_graph, random_tensor};
use skimp_graph::{DType, Dim, Executor, Graph, GraphBuilder, Op, Tensor};

/// The network with the batch of `inputs`.
fn with_batch_of(graph: &Graph, inputs: &[Tensor]) -> Graph {
    let mut editor = Editor::new(graph);
    for (idx, (input, tensor)) in graph.inputs().iter().zip(inputs).enumerate() {
        let mut dims = input.dims.clone();
        if let (Some(dim), Some(&n)) = (dims.first_mut(), tensor.shape().first()) {
            *dim = Dim::Fixed(n);
        }
        editor.set_input_dims(idx, dims).expect("an input");
    }
    editor.finish().expect("it fits")
}

/// Two tensors, one behind the other.
fn stacked(a: &Tensor, b: &Tensor) -> Tensor {
    assert_eq!(a.shape(), b.shape());
    let mut builder = GraphBuilder::new("stack");
    let inputs = [a, b].map(|x| {
        let dims = x.shape().iter().map(|&n| Dim::Fixed(n)).collect();
        builder.input(if std::ptr::eq(x, a) { "a" } else { "b" }, x.dtype(), dims)
    });
    let y = builder.node("stack", Op::Concat(ops::Concat { axis: 0 }), &inputs);
    builder.output(y);
    let graph = builder.build().expect("well-formed");
    Reference::new(&graph).run(&[a.clone(), b.clone()]).expect("it runs").remove(0)
}

fn bits(x: &Tensor) -> String {
    match x.as_f32() {
        Some(x) => format!("{:?}", x.iter().map(|x| x.to_bits()).collect::<Vec<u32>>()),
        None => format!("{:?}", x.data()),
    }
}

/// Of random graphs of all operators those that can be freed give for each part of a batch what they give for it alone.
#[test]
fn images_of_freed_random_graphs_stay_apart() {
    let (mut n_freed, mut n_kept, mut n_reshaped) = (0, 0, 0);
    for seed in 0..6000 {
        let types = if seed % 2 == 0 { ElementTypes::F32 } else { ElementTypes::Any };
        let random = random_graph(seed, types);
        if random.inputs.iter().any(|x| x.shape().is_empty()) {
            continue;
        }
        let fixed = with_batch_of(&random.graph, &random.inputs);
        let Some(free) = free_batch(&fixed) else {
            n_kept += 1;
            continue;
        };
        n_freed += 1;
        n_reshaped += usize::from(fixed.nodes().iter().zip(free.nodes()).any(|(a, b)| a.op != b.op));
        let others: Vec<Tensor> = random
            .inputs
            .iter()
            .map(|x| match x.as_f32() {
                Some(elements) => Tensor::from_f32(x.shape().to_vec(), elements.iter().map(|x| x * 0.5).collect()),
                None => x.clone(),
            })
            .collect();
        let both: Vec<Tensor> = random.inputs.iter().zip(&others).map(|(a, b)| stacked(a, b)).collect();
        let found = Reference::new(&free).run(&both).unwrap();
        let [a, b] = [&random.inputs, &others].map(|inputs| Reference::new(&fixed).run(inputs).unwrap());
        for ((found, a), (b, &output)) in found.iter().zip(&a).zip(b.iter().zip(fixed.outputs())) {
            if fixed.constant(output).is_some() || found.shape() == a.shape() {
                assert_eq!(bits(found), bits(a), "seed {seed}");
            } else {
                let expected = stacked(a, b);
                assert_eq!(found.shape(), expected.shape(), "seed {seed}");
                assert_eq!(bits(found), bits(&expected), "seed {seed}");
            }
        }
    }
    eprintln!("{n_freed} freed, {n_kept} kept, {n_reshaped} with another reshape");
    assert!(n_freed > 1000 && n_kept > 100 && n_reshaped > 50, "{n_freed} freed, {n_kept} kept, {n_reshaped} reshaped");
}

fn builder(batch: usize) -> (GraphBuilder, skimp_graph::ValueId) {
    let mut builder = GraphBuilder::new("windows");
    let x = builder.input("x", DType::F32, [batch, 4, 6].map(Dim::Fixed).to_vec());
    (builder, x)
}

fn reshape(builder: &mut GraphBuilder, name: &str, x: skimp_graph::ValueId, shape: &[i64]) -> skimp_graph::ValueId {
    builder.node(name, Op::Reshape(ops::Reshape { shape: shape.to_vec(), allow_zero: false }), &[x])
}

/// Windows of images become rows, as in a Swin transformer, and images again.
#[test]
fn windows_are_rows_of_their_image() {
    let (mut builder, x) = builder(1);
    let windows = reshape(&mut builder, "windows", x, &[8, 3]);
    let w = builder.constant("w", random_tensor(1, "w", vec![3, 3], 0.0, 1.0));
    let y = builder.node("dense", Op::MatMul, &[windows, w]);
    let y = reshape(&mut builder, "images", y, &[1, -1]);
    builder.output(y);
    assert!(free_batch(&builder.build().unwrap()).is_none(), "8 rows or one, and an extent to infer");

    let (mut builder, x) = self::builder(1);
    let windows = reshape(&mut builder, "windows", x, &[8, 3]);
    let w = builder.constant("w", random_tensor(1, "w", vec![3, 3], 0.0, 1.0));
    let y = builder.node("dense", Op::MatMul, &[windows, w]);
    let y = reshape(&mut builder, "images", y, &[1, 24]);
    builder.output(y);
    let fixed = builder.build().unwrap();
    let free = free_batch(&fixed).unwrap();
    let x = random_tensor(2, "x", vec![5, 4, 6], 0.0, 1.0);
    let all = Reference::new(&free).run(std::slice::from_ref(&x)).unwrap().remove(0);
    assert_eq!(all.shape(), [5, 24]);
    for (image, found) in x.as_f32().unwrap().chunks(24).zip(all.as_f32().unwrap().chunks(24)) {
        let alone = Reference::new(&fixed).run(&[Tensor::from_f32(vec![1, 4, 6], image.to_vec())]).unwrap().remove(0);
        assert_eq!(alone.as_f32().unwrap(), found);
    }
}

/// What runs over the batch is not freed, nor is a token that is put before each image of a batch of one.
#[test]
fn what_crosses_images_stays_fixed() {
    let (mut over, x) = builder(2);
    let y = over.node("softmax", Op::Softmax(ops::Softmax { axis: 0 }), &[x]);
    over.output(y);
    assert!(free_batch(&over.build().unwrap()).is_none());

    let (mut token, x) = builder(1);
    let class = token.constant("class", random_tensor(1, "class", vec![1, 1, 6], 0.0, 1.0));
    let y = token.node("concat", Op::Concat(ops::Concat { axis: 1 }), &[class, x]);
    token.output(y);
    assert!(free_batch(&token.build().unwrap()).is_none());

    let (mut free, x) = builder(1);
    let y = free.node("relu", Op::Relu, &[x]);
    free.output(y);
    let free = free_batch(&free.build().unwrap()).unwrap();
    assert_eq!(free.inputs()[0].dims, [Dim::Free("N".to_owned()), Dim::Fixed(4), Dim::Fixed(6)]);
    assert!(free_batch(&free).is_none(), "open already");
}
