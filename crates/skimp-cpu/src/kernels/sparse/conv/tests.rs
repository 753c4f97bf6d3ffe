use skimp_numerics::rng::{Draws, stream};

use super::*;
use crate::kernels::{layout, noise};

/// A layer with its operands.
#[derive(Debug)]
struct Case {
    shape: ConvShape,
    image: [usize; 2],
    weight: Vec<f32>,
    bias: Vec<f32>,
    x: Vec<f32>,
    residual: Vec<f32>,
}

impl Case {
    fn draw(draws: &mut Draws, seed: u64) -> Option<Self> {
        let kernel = [draws.between(1, 3), draws.between(1, 3)];
        let strides = [draws.between(1, 3), draws.between(1, 3)];
        let strides = if draws.chance(0.6) { [1, 1] } else { strides };
        let dilations = [draws.between(1, 2), draws.between(1, 2)];
        let pads = [0; 4].map(|_| draws.between(0, 3));
        let image = [draws.between(1, 30), draws.between(1, 40)];
        let (c, k) = (draws.between(1, 20), draws.between(1, 20));
        let extent = |axis: usize| {
            let reach = (kernel[axis] - 1) * dilations[axis] + 1;
            Some((image[axis] + pads[axis] + pads[axis + 2]).checked_sub(reach)? / strides[axis] + 1)
        };
        let shape = ConvShape {
            in_channels: c,
            out_channels: k,
            groups: 1,
            kernel,
            strides,
            dilations,
            pads: [pads[0], pads[1]],
            output: [extent(0)?, extent(1)?],
        };
        let density = f64::from(draws.uniform(0.0, 1.0));
        let weight = noise(k * c * kernel[0] * kernel[1], seed);
        let weight = weight.into_iter().map(|w| if draws.chance(density) { w } else { 0.0 }).collect();
        let n_outputs = k * shape.output[0] * shape.output[1];
        let (bias, x, residual) =
            (noise(k, seed + 1), noise(c * image[0] * image[1], seed + 2), noise(n_outputs, seed + 3));
        Some(Self { shape, image, weight, bias, x, residual })
    }

    /// In f64, straight from the definition.
    fn naive(&self) -> Vec<f64> {
        let ConvShape { in_channels, kernel, strides, dilations, pads, output: [p, q], .. } = self.shape;
        let [height, width] = self.image;
        let mut out = Vec::new();
        for (k, &bias) in self.bias.iter().enumerate() {
            for (row, column) in (0..p).flat_map(|row| (0..q).map(move |column| (row, column))) {
                let mut sum = f64::from(bias);
                for c in 0..in_channels {
                    for (r, s) in (0..kernel[0]).flat_map(|r| (0..kernel[1]).map(move |s| (r, s))) {
                        let y = (row * strides[0] + r * dilations[0]).checked_sub(pads[0]);
                        let x = (column * strides[1] + s * dilations[1]).checked_sub(pads[1]);
                        if let (Some(y), Some(x)) = (y.filter(|&y| y < height), x.filter(|&x| x < width)) {
                            let w = self.weight[((k * in_channels + c) * kernel[0] + r) * kernel[1] + s];
                            sum += f64::from(w) * f64::from(self.x[(c * height + y) * width + x]);
                        }
                    }
                }
                out.push((sum + f64::from(self.residual[(k * p + row) * q + column])).clamp(-0.5, 3.0));
            }
        }
        out
    }

    fn run(&self, isa: Isa, source: &Phases, parallel: bool) -> Vec<f32> {
        let plain = Planes::plain(self.shape.in_channels, self.image[0], self.image[1]);
        let mut x = vec![f32::NAN; source.planes.len()];
        if self.shape.strides == [1, 1] {
            layout::convert(&self.x, &plain, &mut x, &source.planes);
        } else {
            source.part(&self.shape, (&self.x, &plain), &mut x);
        }
        let packed = PackedSparse::new(isa, &self.shape, &self.weight, &self.bias);
        let [p, q] = self.shape.output;
        let mut out = vec![f32::NAN; self.residual.len()];
        let bounds = Bounds { low: -0.5, high: 3.0 };
        let residual = Planes::plain(self.shape.out_channels, p, q);
        let distances = packed.distances(source);
        let residual = Some((self.residual.as_slice(), &residual));
        packed.run(&self.shape, bounds, (&x, &source.planes), &distances, &mut out, residual, parallel);
        out
    }
}

#[test]
fn every_kernel_matches_the_definition() {
    let mut draws = Draws::new(3, stream("sparse/layers"));
    let (mut n_run, mut n_parted) = (0, 0);
    for seed in 0..400 {
        let Some(case) = Case::draw(&mut draws, seed) else { continue };
        let source = Phases::new(&case.shape, case.image[0], case.image[1]);
        if !PackedSparse::supports(&case.shape, &source) {
            continue;
        }
        n_run += 1;
        n_parted += usize::from(case.shape.strides != [1, 1]);
        let expected = case.naive();
        for isa in Isa::available() {
            let y = case.run(isa, &source, false);
            // A chain of n roundings of partial sums of at most n.
            let depth = (case.weight.len() / case.shape.out_channels) as f64;
            for (at, (&y, &expected)) in y.iter().zip(&expected).enumerate() {
                let off = (f64::from(y) - expected).abs();
                assert!(off <= 1e-6 + depth * depth * 6e-9, "{isa:?} {:?} at {at}: {y} for {expected}", case.shape);
            }
            assert_eq!(y, case.run(isa, &source, true), "{isa:?} {:?}: the split changes bits", case.shape);
        }
    }
    assert!(n_run > 150 && n_parted > 30, "{n_run} layers, {n_parted} with strides");
}

#[test]
fn layers_of_one_element_and_of_zeros_alone() {
    let shape = ConvShape {
        in_channels: 1,
        out_channels: 2,
        groups: 1,
        kernel: [1, 1],
        strides: [1, 1],
        dilations: [1, 1],
        pads: [0, 0],
        output: [4, 4],
    };
    let case = Case {
        shape,
        image: [4, 4],
        weight: vec![0.0; 2],
        bias: vec![0.25, 1.0],
        x: noise(16, 1),
        residual: vec![0.0; 32],
    };
    let source = Phases::new(&shape, 4, 4);
    for isa in Isa::available() {
        assert_eq!(case.run(isa, &source, false), [[0.25; 16], [1.0; 16]].concat());
    }
    // Fewer pixels than a vector has are not for this kernel.
    let small = ConvShape { output: [3, 5], ..shape };
    assert!(!PackedSparse::supports(&small, &Phases::new(&small, 3, 5)));
}

#[test]
fn the_rule_follows_density_and_size() {
    let layer = |channels: usize, extent: usize| ConvShape {
        in_channels: channels,
        out_channels: channels,
        groups: 1,
        kernel: [3, 3],
        strides: [1, 1],
        dilations: [1, 1],
        pads: [1, 1],
        output: [extent; 2],
    };
    let limit = |shape: &ConvShape| {
        let source = Phases::new(shape, shape.output[0], shape.output[1]);
        let all = shape.in_channels * shape.out_channels * 9;
        let percent = (0..=100)
            .take_while(|percent| PackedSparse::pays(Isa::Portable, shape, &source, all * percent / 100))
            .count();
        percent.saturating_sub(1)
    };
    // Share of weights in percent up to which zeros are left out.
    assert_eq!([limit(&layer(256, 56)), limit(&layer(64, 8)), limit(&layer(16, 32))], [40, 32, 30]);
    // Where the dense kernel's vectors are filled in part, half of the weights must be zero.
    assert_eq!(limit(&layer(4, 8)), 50);
}
