//! The product of two values, naively.

use super::{CodeTensor, Encoding, IntegerTensor, MacOutput, ValueKind, types::per_channel};
use crate::reference::strided::Offsets;
use crate::shape::{MatMulOperands, WindowAxis, matmul_operands};
use crate::{Tensor, shape::LayerShape};

/// How a product of two values becomes a value again.
pub(super) struct ProductRule<'a> {
    pub(super) from: [Encoding; 2],
    /// One entry.
    pub(super) output: &'a MacOutput,
    pub(super) to: &'a ValueKind,
    /// Bounds of a code.
    pub(super) range: (i32, i32),
}

/// `a · b` as in ONNX's MatMul, on codes less their zero points; why the operands do not fit otherwise.
pub(super) fn product(rule: &ProductRule<'_>, a: &CodeTensor, b: &CodeTensor) -> Result<IntegerTensor, String> {
    let operands = matmul_operands(&a.shape, &b.shape)?;
    let MatMulOperands { m, k, n, .. } = operands;
    let [batch_a, batch_b, batch] = &operands.batch;
    let [zero_a, zero_b] = rule.from.map(|encoding| encoding.zero_point);
    let mut sums = Vec::with_capacity(operands.shape.iter().product());
    for (a_idx, b_idx) in Offsets::broadcast(batch_a, batch).zip(Offsets::broadcast(batch_b, batch)) {
        let (a, b) = (&a.data[a_idx * m * k..][..m * k], &b.data[b_idx * k * n..][..k * n]);
        for i in 0..m {
            for j in 0..n {
                let product = |l: usize| i64::from(a[i * k + l] - zero_a) * i64::from(b[l * n + j] - zero_b);
                sums.push((0..k).map(product).sum::<i64>());
            }
        }
    }
    Ok(match (rule.to, rule.output) {
        (ValueKind::Codes(encoding), MacOutput::Codes(requantizers)) => {
            let (requantizer, (min, max)) = (per_channel(requantizers, 0), rule.range);
            let zero_point = i64::from(encoding.zero_point);
            let is_beyond = |sum: &&i64| requantizer.is_narrow() && i32::try_from(**sum).is_err();
            if let Some(sum) = sums.iter().find(is_beyond) {
                return Err(format!("a sum is {sum}, beyond the 32 bits of its requantization"));
            }
            let code = |sum: i64| encoding.saturate(requantizer.apply(sum).saturating_add(zero_point)).clamp(min, max);
            let data = sums.into_iter().map(code).collect();
            IntegerTensor::Codes(CodeTensor { shape: operands.shape, data })
        }
        (ValueKind::Real, MacOutput::Real(scales)) => {
            let data = sums.into_iter().map(|sum| (sum as f64 * per_channel(scales, 0)) as f32).collect();
            IntegerTensor::Real(Tensor::from_f32(operands.shape, data))
        }
        (ValueKind::Real, MacOutput::RealSingle(scales)) => {
            let data = sums.into_iter().map(|sum| sum as f32 * per_channel(scales, 0)).collect();
            IntegerTensor::Real(Tensor::from_f32(operands.shape, data))
        }
        _ => return Err("the product and its output value disagree on codes or reals".to_owned()),
    })
}

/// The extents of a product of operands of shapes `a` and `b`, of which every matrix of the batch has the second operand to
/// itself: a 1x1 convolution over the `m` rows, in which each matrix is a group of `k` inputs and `n` outputs. `None` where the
/// shapes do not fit, or there is nothing to multiply.
pub fn product_shape(a: &[usize], b: &[usize]) -> Option<LayerShape> {
    let operands = matmul_operands(a, b).ok()?;
    let groups = operands.batch[2].iter().try_fold(1_usize, |n, &extent| n.checked_mul(extent))?;
    let channels = [operands.k.checked_mul(groups)?, operands.n.checked_mul(groups)?];
    if groups == 0 || channels.contains(&0) || operands.m == 0 {
        return None;
    }
    let axes = [WindowAxis::pointwise(1), WindowAxis::pointwise(operands.m)];
    LayerShape::from_axes(1, channels, groups, axes).ok()
}

#[cfg(test)]
mod tests {
    use skimp_numerics::{Requantization, Requantizer};

    use super::*;

    fn codes(shape: &[usize], data: &[i32]) -> CodeTensor {
        CodeTensor { shape: shape.to_vec(), data: data.to_vec() }
    }

    #[test]
    fn zero_points_scales_and_bounds_by_hand() {
        let encoding = |zero_point| Encoding { zero_point, ..Encoding::symmetric(8, false, 0.5) };
        // (1 − 3, 5 − 3) · ((4 − 1, 1 − 1), (2 − 1, 9 − 1)) = (−2·3 + 2·1, 2·8) = (−4, 16).
        let (a, b) = (codes(&[1, 2], &[1, 5]), codes(&[1, 2, 2], &[4, 1, 2, 9]));
        let half = MacOutput::Codes(vec![Requantizer::new(Requantization::Exact, 0.5).unwrap()]);
        let to = ValueKind::Codes(encoding(10));
        let rule = ProductRule { from: [encoding(3), encoding(1)], output: &half, to: &to, range: (9, 17) };
        let found = product(&rule, &a, &b).unwrap();
        // −2 + 10 and 8 + 10, clamped.
        assert_eq!(found, IntegerTensor::Codes(codes(&[1, 1, 2], &[9, 17])));
        for output in [MacOutput::Real(vec![0.25]), MacOutput::RealSingle(vec![0.25])] {
            let rule = ProductRule { output: &output, to: &ValueKind::Real, ..rule };
            let real = Tensor::from_f32(vec![1, 1, 2], vec![-1.0, 4.0]);
            assert_eq!(product(&rule, &a, &b).unwrap(), IntegerTensor::Real(real));
        }
        let rule = ProductRule { output: &MacOutput::Real(vec![1.0]), ..rule };
        assert!(product(&rule, &a, &b).unwrap_err().contains("disagree"));
        let narrow = MacOutput::Codes(vec![Requantizer::new(Requantization::Float, 0.5).unwrap()]);
        let large = codes(&[1, 0x1_0000], &[255; 0x1_0000]);
        let turned = codes(&[0x1_0000, 1], &[255; 0x1_0000]);
        let rule = ProductRule { output: &narrow, to: &to, ..rule };
        assert!(product(&rule, &large, &turned).unwrap_err().contains("beyond the 32 bits"));
        assert!(product(&rule, &a, &codes(&[3, 1], &[0; 3])).unwrap_err().contains("inner extents"));
    }

    #[test]
    fn a_product_is_a_convolution_of_groups() {
        let shape = product_shape(&[2, 3, 5, 7], &[3, 7, 4]).unwrap();
        assert_eq!((shape.groups(), shape.c(), shape.k(), shape.q()), (6, 42, 24, 5));
        assert_eq!(shape.dense_macs(), 2 * 3 * 5 * 7 * 4);
        assert_eq!(product_shape(&[7], &[7]).unwrap().dense_macs(), 7);
        assert_eq!(product_shape(&[0, 7], &[7, 2]), None);
        assert_eq!(product_shape(&[2, 7], &[3, 2]), None);
    }
}
