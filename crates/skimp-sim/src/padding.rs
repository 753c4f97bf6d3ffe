//! Padding that is not zero: the codes of a signed activation that an offset makes non-negative.

use std::borrow::Cow;
use std::sync::Arc;

use crate::{LayerTrace, LayerWorkload, SimError};

impl LayerWorkload {
    /// Whether windows meet padding whose operand is not 0.
    #[must_use]
    pub fn has_offset_padding(&self) -> bool {
        self.padding_code != 0
            && [self.shape.pads_begin(), self.shape.pads_end()].as_flattened().iter().any(|&pad| pad > 0)
    }

    /// The layer and its activation codes as values see them: where the padding's operand is not 0 it is part of the
    /// input, so that nobody takes it for zeros. Otherwise both as they are.
    ///
    /// # Shapes
    /// `activation`: `[c, h, w]` of the layer given, `[c, h, w]` of the layer returned.
    #[must_use]
    pub fn with_padding<'l>(&'l self, activation: Arc<[i32]>) -> (Cow<'l, LayerWorkload>, Arc<[i32]>) {
        let padded = self.with_padding_as_input();
        if matches!(padded, Cow::Borrowed(_)) {
            return (padded, activation);
        }
        let (from, to) = (&self.shape, &padded.shape);
        let [top, left] = from.pads_begin();
        let mut codes = vec![self.padding_code; to.input_count()];
        for (row, line) in activation.chunks_exact(from.w().max(1)).enumerate() {
            let (channel, y) = (row / from.h(), row % from.h());
            let start = (channel * to.h() + top + y) * to.w() + left;
            codes[start..start + from.w()].copy_from_slice(line);
        }
        (padded, codes.into())
    }

    /// The layer of [`with_padding`](Self::with_padding) alone.
    #[must_use]
    pub fn with_padding_as_input(&self) -> Cow<'_, LayerWorkload> {
        if !self.has_offset_padding() {
            return Cow::Borrowed(self);
        }
        Cow::Owned(LayerWorkload { shape: self.shape.with_padding_as_input(), ..self.clone() })
    }

    /// The operands under the window of output `idx` of `[k, p, q]`, in the order of its filter's weights.
    ///
    /// # Shapes
    /// `activation`: `[c, h, w]`.
    pub fn operands(&self, activation: &[i32], idx: usize) -> impl Iterator<Item = i32> {
        let (shape, rows, cols) = (self.shape, self.shape.rows(), self.shape.cols());
        let (k, row, column) = (idx / (shape.p() * shape.q()), idx / shape.q() % shape.p(), idx % shape.q());
        let first_channel = k / shape.filters_per_group() * shape.channels_per_group();
        (0..shape.inputs_per_output()).map(move |input| {
            let (channel, tap) =
                (first_channel + input / (rows.kernel * cols.kernel), input % (rows.kernel * cols.kernel));
            match (rows.read(row, tap / cols.kernel), cols.read(column, tap % cols.kernel)) {
                (Some(y), Some(x)) => activation[(channel * rows.input + y) * cols.input + x],
                _ => self.padding_code,
            }
        })
    }
}

impl LayerTrace {
    /// Computes some outputs of `layer` from the operands that models see, and compares them with the exact sums:
    /// `samples` of them, evenly spread, or all if there are no more. Does nothing for a shape without weights.
    ///
    /// # Errors
    /// [`SimError::NotExact`] if a sum differs; those of the traces.
    pub fn check_operands(&self, layer: &LayerWorkload, samples: usize) -> Result<(), SimError> {
        let Some(weights) = layer.weights.as_deref() else { return Ok(()) };
        let (activation, sums) = (self.activation()?, self.output_sums()?);
        let (bias, residual) = (self.bias()?, self.residual()?);
        let depth = layer.shape.inputs_per_output();
        let step = (sums.len() / samples.max(1)).max(1);
        let differs = |&idx: &usize| {
            let channel = idx / (layer.shape.p() * layer.shape.q());
            let start = bias[channel] + residual.as_ref().map_or(0, |residual| residual[idx]);
            let products = layer.operands(&activation, idx).zip(&weights[channel * depth..][..depth]);
            start + products.map(|(a, &w)| i64::from(a) * i64::from(w)).sum::<i64>() != sums[idx]
        };
        match (0..sums.len()).step_by(step).filter(differs).count() as u64 {
            0 => Ok(()),
            n_different => Err(SimError::NotExact { layer: layer.name.clone(), what: "operands", n_different }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordedTrace;

    #[test]
    fn padding_holds_the_offset() {
        let layer = LayerWorkload::conv("x", 2, 2, 3, 2, 3).unwrap();
        let mut layer = layer.with_shape(|shape| (shape.pads_begin, shape.pads_end) = ([1, 0], [0, 2])).unwrap();
        layer.padding_code = 7;
        layer.weights = Some((0..layer.shape.weight_count() as i32).map(|i| i % 5 - 2).collect());
        let layer = layer.validated().unwrap();
        let activation: Arc<[i32]> = (1..=12).collect();
        let (padded, codes) = layer.with_padding(activation.clone());
        assert_eq!(
            (padded.shape.h(), padded.shape.w(), padded.shape.p(), padded.shape.q()),
            (3, 5, layer.shape.p(), layer.shape.q())
        );
        assert!(padded.check().is_ok());
        assert_eq!(codes[..15], [7, 7, 7, 7, 7, 1, 2, 3, 7, 7, 4, 5, 6, 7, 7]);
        for idx in 0..layer.shape.output_count() {
            let direct: Vec<i32> = layer.operands(&activation, idx).collect();
            assert_eq!(direct, padded.operands(&codes, idx).collect::<Vec<_>>());
        }
        // By hand: output (0, 0, 0) of filter 0, whose weights repeat -2, -1, 0, 1, 2.
        let operands = [7, 7, 7, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 8, 9, 10, 11, 12];
        assert_eq!(layer.operands(&activation, 0).collect::<Vec<_>>(), operands);
        let sum: i64 = operands.iter().zip(0..).map(|(&a, i)| i64::from(a) * (i64::from(i % 5) - 2)).sum();
        let weights = layer.weights.clone().unwrap();
        let of = |idx: usize| -> i64 {
            let filter = &weights[idx / (layer.shape.p() * layer.shape.q()) * 18..][..18];
            layer.operands(&activation, idx).zip(filter).map(|(a, &w)| i64::from(a) * i64::from(w)).sum()
        };
        assert_eq!(of(0), sum);
        let sums: Vec<i64> = (0..layer.shape.output_count()).map(of).collect();
        let recorded = |sums: Vec<i64>| RecordedTrace {
            activation: Some(activation.clone()),
            bias: Some(vec![0; 2].into()),
            output_sums: Some(sums.into()),
            ..RecordedTrace::default()
        };
        let trace = LayerTrace::new(&layer, Arc::new(recorded(sums.clone())));
        trace.check_operands(&layer, usize::MAX).unwrap();
        let zeros = LayerWorkload { padding_code: 0, ..layer.clone() };
        assert!(matches!(trace.check_operands(&zeros, usize::MAX), Err(SimError::NotExact { .. })));
        assert!(matches!(zeros.with_padding(activation).0, Cow::Borrowed(_)));
    }
}
