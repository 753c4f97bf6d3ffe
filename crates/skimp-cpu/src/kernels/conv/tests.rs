use super::super::{Bounds, Halo, Isa, Planes, layout, noise};
use super::{ConvShape, PackedConv};

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) channels: (usize, usize),
    pub(crate) groups: usize,
    pub(crate) image: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) strides: [usize; 2],
    pub(crate) dilations: [usize; 2],
    pub(crate) pads: [usize; 4],
}

fn cases() -> Vec<Case> {
    let case = |channels, groups, image, kernel, stride, dilation, pad: usize| Case {
        channels,
        groups,
        image,
        kernel,
        strides: [stride; 2],
        dilations: [dilation; 2],
        pads: [pad; 4],
    };
    vec![
        case((3, 16), 1, [9, 32], [3, 3], 1, 1, 1),
        case((16, 16), 1, [5, 32], [3, 3], 1, 1, 1),
        case((16, 32), 1, [7, 9], [3, 3], 2, 1, 1),
        case((20, 50), 1, [6, 17], [3, 3], 1, 1, 1),
        case((33, 48), 1, [4, 15], [1, 1], 1, 1, 0),
        case((3, 24), 1, [23, 29], [7, 7], 2, 1, 3),
        case((3, 8), 1, [31, 31], [11, 11], 4, 1, 2),
        case((17, 19), 1, [13, 11], [3, 3], 3, 2, 2),
        case((64, 64), 2, [5, 5], [3, 3], 1, 1, 1),
        case((1, 1), 1, [1, 1], [1, 1], 1, 1, 0),
        Case { pads: [0, 2, 3, 1], ..case((5, 33), 1, [6, 8], [2, 3], 1, 1, 0) },
        Case { strides: [1, 2], dilations: [2, 1], ..case((32, 32), 1, [9, 30], [3, 2], 1, 1, 1) },
    ]
}

impl Case {
    pub(crate) fn shape(&self) -> ConvShape {
        let extent = |axis: usize| {
            let reach = (self.kernel[axis] - 1) * self.dilations[axis] + 1;
            (self.image[axis] + self.pads[axis] + self.pads[axis + 2] - reach) / self.strides[axis] + 1
        };
        ConvShape {
            in_channels: self.channels.0,
            out_channels: self.channels.1,
            groups: self.groups,
            kernel: self.kernel,
            strides: self.strides,
            dilations: self.dilations,
            pads: [self.pads[0], self.pads[1]],
            output: [extent(0), extent(1)],
        }
    }

    /// In f64, straight from the definition, clamped to 0 and 3.
    pub(crate) fn naive(&self, x: &[f32], weight: &[f32], bias: &[f32], residual: &[f32]) -> Vec<f32> {
        let shape = self.shape();
        let [p, q] = shape.output;
        let (group_in, group_out) = (self.channels.0 / self.groups, self.channels.1 / self.groups);
        let mut out = Vec::new();
        for (k, &bias) in bias.iter().enumerate() {
            for (row, column) in (0..p).flat_map(|r| (0..q).map(move |c| (r, c))) {
                let mut sum = f64::from(bias);
                for c in 0..group_in {
                    for (r, s) in (0..self.kernel[0]).flat_map(|r| (0..self.kernel[1]).map(move |s| (r, s))) {
                        let y = (row * self.strides[0] + r * self.dilations[0]).checked_sub(self.pads[0]);
                        let z = (column * self.strides[1] + s * self.dilations[1]).checked_sub(self.pads[1]);
                        let (Some(y), Some(z)) = (y, z) else { continue };
                        if y < self.image[0] && z < self.image[1] {
                            let channel = k / group_out * group_in + c;
                            let x = x[(channel * self.image[0] + y) * self.image[1] + z];
                            let w = weight[((k * group_in + c) * self.kernel[0] + r) * self.kernel[1] + s];
                            sum += f64::from(x) * f64::from(w);
                        }
                    }
                }
                let y = sum + f64::from(residual[(k * p + row) * q + column]);
                out.push(y.clamp(0.0, 3.0) as f32);
            }
        }
        out
    }

    fn blocked(&self, isa: Isa, parallel: bool, x: &[f32], weight: &[f32], bias: &[f32], residual: &[f32]) -> Vec<f32> {
        let shape = self.shape();
        let block = if PackedConv::prefers_plain(&shape) { 1 } else { 16 };
        let packed = PackedConv::new(isa, &shape, block, weight, bias);
        let plain = Planes::plain(self.channels.0, self.image[0], self.image[1]);
        let halo = shape.halo(self.image[0], self.image[1]).union(Halo { top: 2, left: 0, bottom: 0, right: 1 });
        let padded = Planes { block, halo, ..plain };
        let mut source = vec![f32::NAN; padded.len()];
        layout::convert(x, &plain, &mut source, &padded);
        let out_plain = Planes::plain(self.channels.1, shape.output[0], shape.output[1]);
        let out_blocked = Planes { block: 16, halo: Halo { top: 1, left: 1, bottom: 1, right: 1 }, ..out_plain };
        let residual_blocked = Planes { halo: Halo::default(), ..out_blocked };
        let mut addend = vec![f32::NAN; residual_blocked.len()];
        layout::convert(residual, &out_plain, &mut addend, &residual_blocked);
        let mut out = vec![f32::NAN; out_blocked.len()];
        let bounds = Bounds { low: 0.0, high: 3.0 };
        packed.run(
            &shape,
            (bounds, None),
            (&source, &padded),
            (&mut out, &out_blocked),
            Some((&addend, &residual_blocked)),
            parallel,
        );
        let mut y = vec![f32::NAN; out_plain.len()];
        layout::convert(&out, &out_blocked, &mut y, &out_plain);
        y
    }
}

#[test]
fn every_kernel_matches_the_definition() {
    let mut failures = Vec::new();
    for case in cases() {
        let shape = case.shape();
        let x = noise(case.channels.0 * case.image[0] * case.image[1], 1);
        let depth = case.channels.0 / case.groups * case.kernel[0] * case.kernel[1];
        let weight = noise(case.channels.1 * depth, 2);
        let bias = noise(case.channels.1, 3);
        let residual = noise(case.channels.1 * shape.output[0] * shape.output[1], 4);
        let expected = case.naive(&x, &weight, &bias, &residual);
        // A chain of n roundings of partial sums of at most n has an error below n * n * 2^-24.
        let tolerance = 1e-6 + (depth * depth) as f32 * 6e-8 * 0.1;
        for isa in Isa::available() {
            let y = case.blocked(isa, false, &x, &weight, &bias, &residual);
            let worst = y.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            if worst.is_nan() || worst > tolerance.min(1e-4) || y.iter().any(|v| v.is_nan()) {
                failures.push(format!("{isa:?} {case:?}: off by {worst}"));
            }
            if y != case.blocked(isa, true, &x, &weight, &bias, &residual) {
                failures.push(format!("{isa:?} {case:?}: the split changes bits"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
