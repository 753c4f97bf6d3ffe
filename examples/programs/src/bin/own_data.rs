//! A network and images that no file holds: a graph built here, and arrays with labels.
//!
//!     cargo run -p skimp-examples --bin own_data

use skimp::graph::{DType, Dim, GraphBuilder, Op, ops};
use skimp::{DataConfig, Dataset, Images, Network, QuantizationConfig, Silent, Tensor};

fn main() -> anyhow::Result<()> {
    // Images of 2 x 2 pixels: class 0 is brighter at the left, class 1 at the right.
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for idx in 0..60_u8 {
        let (dark, bright) = (idx, 100 + idx);
        let is_right = idx % 2 == 1;
        pixels.extend(if is_right { [dark, bright, dark, bright] } else { [bright, dark, bright, dark] });
        labels.push(usize::from(is_right));
    }
    let dataset = Dataset::from_arrays([1, 2, 2], pixels, &labels)?;

    // x -> Flatten -> MatMul: left minus right, and the other way round.
    let mut builder = GraphBuilder::new("left-or-right");
    let input = [Dim::Free("n".into()), Dim::Fixed(1), Dim::Fixed(2), Dim::Fixed(2)];
    let x = builder.input("x", DType::F32, input.to_vec());
    let flat = builder.node("flat", Op::Flatten(ops::Flatten { axis: 1 }), &[x]);
    let weights = [1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0];
    let weights = builder.constant("weights", Tensor::from_f32(vec![4, 2], weights.to_vec()));
    let logits = builder.node("logits", Op::MatMul, &[flat, weights]);
    builder.output(logits);
    let network = Network::from_graph(builder.build()?)?;

    // `raw` takes pixels as they are; `set` is what records call the data.
    let config = DataConfig { set: "sides".into(), preprocess: Some("raw".into()), ..DataConfig::default() };
    let images = Images::of(dataset, &config, &network.graph, None)?;
    let float = network.accuracy(&images, images.len(), &Silent)?;
    let config = QuantizationConfig { weight_bits: 2, activation_bits: 4, ..QuantizationConfig::default() };
    let quantized = network.calibrate(&images, 16, &Silent)?.quantize(&config, &Silent)?;
    let integer = quantized.accuracy(&images, images.len(), &Silent)?;
    println!("{} images of {}: {:.0} % right", float.n_images, network.name, 100.0 * float.top1);
    println!("weights of 2 bits, activations of 4 bits: {:.0} % right", 100.0 * integer.top1);
    Ok(())
}
