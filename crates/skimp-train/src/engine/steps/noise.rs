//! Deviations of cells in the sums of a layer.

use skimp_cpu::nhwc::{Arithmetic, ConvShape, Workspace, conv_forward};
use skimp_numerics::rng::Key;

use crate::TrainError;
use crate::engine::kernels::{per_image, zip1};
use crate::noise::{Coefficients, Draw, Drive, LayerNoise};

/// The noise of a layer and what it is in the present step.
#[derive(Debug)]
pub(crate) struct Noise {
    layer: LayerNoise,
    name: String,
    of: Coefficients,
    stream: u64,
    /// What each weight, `[inputs, outputs]`, and each output is off by.
    weights: Vec<f32>,
    outputs: Vec<f32>,
    /// The variance that a unit of power of each weight adds, and each output's own.
    weight_variances: Vec<f32>,
    output_variances: Vec<f32>,
    /// Squares of the inputs, and variances of the sums.
    powers: Vec<f32>,
    variances: Vec<f32>,
}

impl Noise {
    pub(crate) fn new(layer: LayerNoise, name: &str) -> Self {
        let empty = Vec::new;
        Self {
            layer,
            name: name.to_owned(),
            of: layer.coefficients(),
            stream: LayerNoise::stream(name),
            weights: empty(),
            outputs: empty(),
            weight_variances: empty(),
            output_variances: empty(),
            powers: empty(),
            variances: empty(),
        }
    }

    /// Draws what belongs to a step, for weights of these signs.
    pub(crate) fn begin(&mut self, signs: &[f32], columns: usize, key: Key) -> Result<(), TrainError> {
        let Coefficients { weight, bias, weight_variance, bias_variance, offset_deviation } = self.of;
        let of_sign = |pair: [f64; 2], sign: f32| pair[usize::from(sign > 0.0)] as f32;
        let each = |to: &mut Vec<f32>, pair: [f64; 2]| {
            to.resize(signs.len(), 0.0);
            zip1(to, signs, |to, signs| to.iter_mut().zip(signs).for_each(|(to, &sign)| *to = of_sign(pair, sign)));
        };
        let sums = |pair: [f64; 2], first: f64| {
            let mut sums = vec![first; columns];
            for row in signs.chunks_exact(columns) {
                sums.iter_mut().zip(row).for_each(|(sum, &sign)| *sum += pair[usize::from(sign > 0.0)]);
            }
            sums.into_iter().map(|sum| sum as f32).collect::<Vec<f32>>()
        };
        match self.layer.noise.draw {
            Draw::Image => {
                each(&mut self.weights, weight);
                self.outputs = sums(bias, 0.0);
                self.output_variances = sums(bias_variance, offset_deviation * offset_deviation);
            }
            Draw::Step => {
                (self.weights, self.outputs) = self.layer.chip(&self.name, signs, columns, key)?;
                self.output_variances = sums(bias_variance, 0.0);
            }
        }
        each(&mut self.weight_variances, weight_variance);
        Ok(())
    }

    /// Adds what weights are off by to those of this step, each times its output's scale.
    pub(crate) fn add_to_weights(&self, scales: &[f32], weights: &mut [f32]) {
        for (row, off) in weights.chunks_exact_mut(scales.len()).zip(self.weights.chunks_exact(scales.len())) {
            for ((weight, off), scale) in row.iter_mut().zip(off).zip(scales) {
                *weight += scale * off;
            }
        }
    }

    /// Adds what outputs are off by, and draws, to sums of weights that are off already. `images` are those of the data set; the
    /// frames of one lie one behind the other.
    pub(crate) fn add_to_sums(
        &mut self,
        (shape, x, y): (&ConvShape, &[f32], &mut [f32]),
        scales: &[f32],
        (images, key): (&[usize], Key),
        workspace: &mut Workspace,
    ) {
        let columns = scales.len();
        let is_drawn = self.weight_variances.iter().chain(&self.output_variances).any(|v| *v > 0.0);
        if is_drawn {
            self.variances.resize(self.variances.len().max(y.len()), 0.0);
            let variances = &mut self.variances[..y.len()];
            let powers = match self.layer.drive {
                Drive::Signs => x,
                Drive::Values { .. } => {
                    self.powers.resize(self.powers.len().max(x.len()), 0.0);
                    let powers = &mut self.powers[..x.len()];
                    zip1(powers, x, |to, x| to.iter_mut().zip(x).for_each(|(to, x)| *to = x * x));
                    powers
                }
            };
            let (weights, bias) = (&self.weight_variances, Some(self.output_variances.as_slice()));
            conv_forward(shape, powers, weights, bias, variances, Arithmetic::F32, workspace);
        }
        let (outputs, variances, layer_stream) = (&self.outputs, &self.variances, self.stream);
        let len = y.len() / images.len().max(1);
        per_image(y, len, |position, sums| {
            let mut draws = LayerNoise::draws(layer_stream, Key { image: images[position] as u64, ..key });
            let first = position * len;
            for (idx, sum) in sums.iter_mut().enumerate() {
                let column = idx % columns;
                let mut off = outputs[column];
                if is_drawn {
                    off += variances[first + idx].max(0.0).sqrt() * draws.normal() as f32;
                }
                *sum += scales[column] * off;
            }
        });
    }
}
