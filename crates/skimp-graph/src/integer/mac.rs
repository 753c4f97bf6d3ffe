//! The multiply-accumulate layer, naively.

use super::{
    Activation, CodeTensor, Encoding, IntegerTensor, MacLayer, MacLayout, MacOutput, ValueKind, types::per_channel,
};
use crate::ops;
use crate::{
    GraphError, Op, Tensor,
    shape::{LayerShape, window_axes},
};

impl MacLayer {
    fn op(&self) -> Op {
        Op::Conv(ops::Conv { window: self.window.clone(), groups: self.groups })
    }

    /// Extents on an input of shape `input`, as the [layout](MacLayer::layout) says.
    ///
    /// # Errors
    /// [`GraphError::InvalidNode`], naming `node`, if the input does not fit the layer.
    pub fn shape_on(&self, node: &str, input: &[usize]) -> Result<LayerShape, GraphError> {
        let [k, depth, _, _] = self.weight_shape;
        let (n, c, spatial) = match *input {
            [ref rows @ .., c] if self.layout == MacLayout::Rows && !rows.is_empty() => {
                (rows.iter().product(), c, [1, 1])
            }
            [n, c, w] if self.layout == MacLayout::Line => (n, c, [1, w]),
            [n, c, h, w] if self.layout == MacLayout::Planes => (n, c, [h, w]),
            _ => {
                let expected = match self.layout {
                    MacLayout::Rows => "[.., c]",
                    MacLayout::Line => "[n, c, w]",
                    MacLayout::Planes => "[n, c, h, w]",
                };
                return Err(GraphError::invalid_node(
                    node,
                    "Mac",
                    format!("input has shape {input:?}, expected {expected}"),
                ));
            }
        };
        if c != depth * self.groups {
            let cause = format!("input has {c} channels, expected {}", depth * self.groups);
            return Err(GraphError::invalid_node(node, "Mac", cause));
        }
        let axes = window_axes(&self.op(), node, &self.window, &spatial)?;
        LayerShape::from_axes(n, [c, k], self.groups, [axes[0], axes[1]])
            .map_err(|error| GraphError::invalid_node(node, "Mac", error.to_string()))
    }

    /// Shape of the output for an input of shape `input`, whose extents are `shape`.
    pub fn output_shape(&self, input: &[usize], shape: &LayerShape) -> Vec<usize> {
        match self.layout {
            MacLayout::Rows => {
                let mut output = input.to_vec();
                if let Some(last) = output.last_mut() {
                    *last = shape.k();
                }
                output
            }
            MacLayout::Line => vec![shape.n(), shape.k(), shape.q()],
            MacLayout::Planes => vec![shape.n(), shape.k(), shape.p(), shape.q()],
        }
    }

    /// The activation function on an accumulator, before scaling. [`Activation::Clamp`] acts on the code instead.
    pub fn activate(&self, accumulator: i64) -> i64 {
        match self.activation {
            Activation::None | Activation::Clamp { .. } => accumulator,
            Activation::Relu => accumulator.max(0),
            Activation::Sign => accumulator.signum(),
        }
    }

    /// Least and greatest output code, under the output's `encoding`.
    pub fn code_range(&self, encoding: &Encoding) -> (i32, i32) {
        match self.activation {
            Activation::Clamp { min, max } => (min, max),
            Activation::Relu => (encoding.zero_point, encoding.max_code()),
            Activation::None | Activation::Sign => (encoding.min_code(), encoding.max_code()),
        }
    }

    /// The output code of an accumulator of channel `k`, or `None` where the layer has real outputs.
    pub fn output_code(&self, k: usize, accumulator: i64, encoding: &Encoding) -> Option<i32> {
        let MacOutput::Codes(requantizers) = &self.output else { return None };
        let scaled = per_channel(requantizers, k).apply(self.activate(accumulator));
        let (min, max) = self.code_range(encoding);
        Some(encoding.saturate(scaled.saturating_add(encoding.zero_point.into())).clamp(min, max))
    }

    /// The real output of an accumulator of channel `k`, or `None` where the layer has codes.
    pub fn output_real(&self, k: usize, accumulator: i64) -> Option<f32> {
        let activated = self.activate(accumulator);
        match &self.output {
            MacOutput::Codes(_) => None,
            MacOutput::Real(scales) => Some((activated as f64 * per_channel(scales, k)) as f32),
            MacOutput::RealSingle(scales) => Some(activated as f32 * per_channel(scales, k)),
        }
    }

    /// The output tensor for accumulators in row-major order of `shape`.
    ///
    /// # Errors
    /// [`GraphError::InvalidNode`], naming `node`, if `kind` does not agree with the layer's output.
    pub fn output(
        &self,
        node: &str,
        accumulators: &[i64],
        shape: Vec<usize>,
        kind: &ValueKind,
    ) -> Result<IntegerTensor, GraphError> {
        let per_plane = self.layout.plane_len(&shape);
        let channel = |i: usize| i / per_plane % self.weight_shape[0];
        let numbered = accumulators.iter().enumerate();
        match kind {
            ValueKind::Codes(encoding) => numbered
                .map(|(i, &accumulator)| self.output_code(channel(i), accumulator, encoding))
                .collect::<Option<Vec<i32>>>()
                .map(|data| IntegerTensor::Codes(CodeTensor { shape, data })),
            ValueKind::Real => numbered
                .map(|(i, &accumulator)| self.output_real(channel(i), accumulator))
                .collect::<Option<Vec<f32>>>()
                .map(|data| IntegerTensor::Real(Tensor::from_f32(shape, data))),
        }
        .ok_or_else(|| {
            GraphError::invalid_node(node, "Mac", "the layer and its output value disagree on codes or reals")
        })
    }

    /// Checks that the residual is there if and only if the layer has one, with shape `expected`.
    ///
    /// # Errors
    /// [`GraphError::InvalidNode`], naming `node`, otherwise.
    pub fn check_residual(
        &self,
        node: &str,
        residual: Option<&CodeTensor>,
        expected: &[usize],
    ) -> Result<(), GraphError> {
        let cause = match (&self.residual, residual) {
            (None, None) => return Ok(()),
            (Some(_), Some(residual)) if residual.shape == expected => return Ok(()),
            (Some(_), Some(residual)) => format!("residual has shape {:?}, expected {expected:?}", residual.shape),
            (Some(_), None) => "no residual input, expected one".to_owned(),
            (None, Some(_)) => "a residual input, expected none".to_owned(),
        };
        Err(GraphError::invalid_node(node, "Mac", cause))
    }

    /// The residual input at accumulator scale.
    ///
    /// # Errors
    /// As [`check_residual`](MacLayer::check_residual).
    pub fn scaled_residual(
        &self,
        node: &str,
        residual: Option<&CodeTensor>,
        expected: &[usize],
    ) -> Result<Option<Vec<i64>>, GraphError> {
        self.check_residual(node, residual, expected)?;
        let (Some(multipliers), Some(residual)) = (&self.residual, residual) else { return Ok(None) };
        let per_plane = self.layout.plane_len(expected);
        let channels = self.weight_shape[0];
        let scaled =
            |(i, &code): (usize, &i32)| per_channel(multipliers, i / per_plane % channels).apply(i64::from(code));
        Ok(Some(residual.data.iter().enumerate().map(scaled).collect()))
    }

    /// `bias + residual + Σ (activation + input_offset) · weight` for every output, row-major.
    ///
    /// `shape` belongs to the input ([`shape_on`](MacLayer::shape_on)), `residual` is at accumulator scale and shaped like
    /// the output. Sums stay within 64 bits: [`check`](super::check()) bounds them when an engine is made.
    pub fn accumulate(&self, shape: &LayerShape, input: &CodeTensor, residual: Option<&[i64]>) -> Vec<i64> {
        accumulate(self, shape, input, residual)
    }

    /// What an output of channel `k` has of operands that are all real 0: its bias as if the offset were `−zero_point`.
    pub fn centered_bias(&self, k: usize) -> i64 {
        let moved = i64::from(self.zero_point) + i64::from(self.input_offset);
        self.bias[k] + moved * self.channel(k).iter().map(|&w| i64::from(w)).sum::<i64>()
    }

    /// The greatest magnitude that an accumulator of channel `k` can have.
    pub fn channel_bound(&self, k: usize, input: &Encoding, residual: Option<&Encoding>) -> i128 {
        self.magnitudes(k) * i128::from(input.reach())
            + i128::from(self.centered_bias(k)).abs()
            + self.residual_bound(k, residual)
    }

    /// The greatest magnitude that an accumulator, or any partial sum on the way to it, can have, with this offset or with
    /// any other one between it and `−zero_point`.
    pub fn accumulator_bound(&self, input: &Encoding, residual: Option<&Encoding>) -> i128 {
        let least = i128::from(input.min_code()) + i128::from(self.input_offset);
        let greatest = i128::from(input.max_code()) + i128::from(self.input_offset);
        let operand = least.abs().max(greatest.abs());
        let of_channel = |k: usize| {
            let bias = i128::from(self.bias[k]).abs();
            let partial = self.magnitudes(k) * operand + bias + self.residual_bound(k, residual);
            partial.max(self.channel_bound(k, input, residual))
        };
        (0..self.weight_shape[0]).map(of_channel).max().unwrap_or(0)
    }

    fn magnitudes(&self, k: usize) -> i128 {
        self.channel(k).iter().map(|w| i128::from(w.unsigned_abs())).sum()
    }

    fn residual_bound(&self, k: usize, residual: Option<&Encoding>) -> i128 {
        match (&self.residual, residual) {
            (Some(multipliers), Some(encoding)) => {
                i128::from(per_channel(multipliers, k).apply(i64::from(encoding.max_code()))) + 1
            }
            _ => 0,
        }
    }
}

fn accumulate(layer: &MacLayer, shape: &LayerShape, input: &CodeTensor, residual: Option<&[i64]>) -> Vec<i64> {
    let group_outputs = shape.filters_per_group().max(1);
    let mut accumulators = Vec::with_capacity(shape.n() * shape.output_count());
    for n in 0..shape.n() {
        for k in 0..shape.k() {
            let first_channel = n * shape.c() + k / group_outputs * shape.channels_per_group();
            for p in 0..shape.p() {
                for q in 0..shape.q() {
                    let start = layer.bias[k] + residual.map_or(0, |r| r[accumulators.len()]);
                    accumulators.push(start + dot(layer, shape, input, (first_channel, k, p, q)));
                }
            }
        }
    }
    accumulators
}

fn dot(
    layer: &MacLayer,
    shape: &LayerShape,
    input: &CodeTensor,
    (first_channel, k, p, q): (usize, usize, usize, usize),
) -> i64 {
    let (rows, cols) = (shape.rows(), shape.cols());
    let mut weights = layer.channel(k).iter();
    let mut sum = 0_i64;
    for c in first_channel..first_channel + shape.channels_per_group() {
        for r in 0..rows.kernel {
            let row = rows.read(p, r);
            for (s, &weight) in weights.by_ref().take(cols.kernel).enumerate() {
                let code = match (row, cols.read(q, s)) {
                    (Some(y), Some(x)) => input.data[(c * rows.input + y) * cols.input + x],
                    _ => layer.zero_point,
                };
                sum += i64::from(code + layer.input_offset) * i64::from(weight);
            }
        }
    }
    sum
}
