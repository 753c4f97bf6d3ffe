//! What the fewer multiplications of the f32 engine change: networks on real images, in exact and in free order.
//!
//! `orders FOLDER [images]` prints, for each network of a folder with `models/`, `cifar10/` and `imagenet-sample/`, the largest
//! difference between the outputs in [free](skimp::Order::Free) and in exact order, the same of exact order from the reference
//! interpreter on two images, images with another first guess, and images right in both orders.

#![allow(clippy::print_stdout, reason = "an example prints its result")]

use std::error::Error;

use skimp::{DataConfig, Engine, Images, Network, Order, Tensor};

/// Network, data set, preprocessing, and height and width where the network leaves them open.
const NETWORKS: [(&str, &str, &str, Option<usize>); 9] = [
    ("cifar10_resnet8", "cifar10", "raw", None),
    ("cifar10_resnet20", "cifar10", "imagenet", None),
    ("cifar10_resnet32", "cifar10", "imagenet", None),
    ("cifar10_resnet56", "cifar10", "imagenet", None),
    ("cifar10_resnet14_projection", "cifar10", "imagenet", None),
    ("cifar10_resnet20_projection", "cifar10", "imagenet", None),
    ("cifar10_cnv_w1a1_binary", "cifar10", "cnv", None),
    ("imagenet_squeezenet10_deepcompression", "imagenet-sample", "caffe-rounded", None),
    ("imagenet_vgg16_conv_cifar10_head", "imagenet-sample", "caffe", Some(224)),
];

/// Images at a time.
const BATCH: usize = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: orders FOLDER [images]")?;
    let most = arguments.next().map_or(Ok(usize::MAX), |text| text.parse())?;
    println!(
        "| network | images | largest output | free from exact order | exact from the reference | other first guesses | right, exact | right, free |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (name, set, preprocess, size) in NETWORKS {
        let network = Network::open(&format!("{folder}/models/{name}.onnx"))?;
        let kind = if set == "cifar10" { "cifar10" } else { "imagenet" };
        let data = DataConfig {
            set: format!("{kind}:{folder}/{set}"),
            preprocess: Some(preprocess.to_owned()),
            ..DataConfig::default()
        };
        let images = Images::open(&data, &network.graph, size.map(|size| [size; 2]))?;
        let [exact, free] = [Order::Exact, Order::Free].map(|order| network.compile(Engine::Cpu, order));
        let (exact, free) = (exact?, free?);
        let n = images.len().min(most);
        let (mut largest, mut off, mut n_changed, mut n_right) = (0.0_f32, 0.0_f32, 0, [0, 0]);
        for first in (0..n).step_by(BATCH) {
            let (inputs, labels) = images.tensors(first..(first + BATCH).min(n))?;
            let (a, b) = (exact.run(std::slice::from_ref(&inputs))?, free.run(std::slice::from_ref(&inputs))?);
            largest = elements(&a[0]).iter().fold(largest, |most, x| most.max(x.abs()));
            off = off.max(difference(&a[0], &b[0]));
            let guesses = |outputs: &Tensor| -> Vec<usize> {
                elements(outputs).chunks_exact(outputs.len() / labels.len()).map(first_guess).collect()
            };
            let (a, b) = (guesses(&a[0]), guesses(&b[0]));
            n_changed += a.iter().zip(&b).filter(|(a, b)| a != b).count();
            for (n_right, guesses) in n_right.iter_mut().zip([&a, &b]) {
                *n_right += guesses.iter().zip(&labels).filter(|(guess, label)| guess == label).count();
            }
        }
        let (inputs, _) = images.tensors(0..2)?;
        let reference = network.run(Engine::Reference, std::slice::from_ref(&inputs))?;
        let rounding = difference(&exact.run(&[inputs])?[0], &reference[0]);
        println!(
            "| {name} | {n} | {largest:.3} | {off:.1e} | {rounding:.1e} | {n_changed} | {} | {} |",
            n_right[0], n_right[1]
        );
    }
    Ok(())
}

fn elements(tensor: &Tensor) -> &[f32] {
    tensor.as_f32().unwrap_or_default()
}

fn difference(a: &Tensor, b: &Tensor) -> f32 {
    elements(a).iter().zip(elements(b)).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

fn first_guess(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}
