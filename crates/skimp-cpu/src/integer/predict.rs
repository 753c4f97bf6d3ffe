//! Predictive negative detection: outputs stop where their later planes are expected to make them negative.

use super::{ConvError, ConvProblem, Isa, conv};

/// The plane after which predictive negative detection stops each output, `[k, p, q]`: the first plane `p` with
/// `P_p - share * (2^(B-p) - 1) * A < 0`, the weight width `B` if there is none. `P_p` is the partial sum after `p`
/// planes, `A` the sum of the output's operands. Share 0 is exact early negative detection, share 1 stops whatever is
/// not certain to end positive.
///
/// # Rounding
/// The right-hand side `share * (2^(B-p) - 1) * A` is taken in f64 and not rounded to an integer.
///
/// # Errors
/// [`ConvError::SignedOperands`] if an operand may be negative, another [`ConvError`] if the problem is not
/// consistent.
///
/// # Source
/// N. Kim et al., "ComPreEND: Computation Pruning through Predictive Early Negative Detection for ReLU in a Deep Neural
/// Network Accelerator", IEEE Transactions on Computers 71(7), 2022.
/// Differs: the printed rule is not at hand. This one is a reconstruction: it expects the remaining planes to take the
/// fraction `share` of what they can take.
pub fn predictive_end_planes(problem: &ConvProblem, share: f64) -> Result<Vec<u8>, ConvError> {
    problem.validate_end()?;
    let bits = problem.weight_bits;
    let isa = Isa::best();
    let per_filter = problem.shape.p() * problem.shape.q();
    let starts: Vec<i64> = (0..problem.shape.k() * per_filter)
        .map(|idx| problem.bias[idx / per_filter] + problem.residual.map_or(0, |residual| residual[idx]))
        .collect();
    let masses = masses(problem, isa);
    let filters_per_group = problem.shape.k() / problem.shape.groups();
    let none = vec![0; problem.shape.k()];
    let mut planes = vec![bits as u8; starts.len()];
    for plane in 1..bits {
        let shift = bits - plane;
        // What the leading planes hold of an inverted code is the weight rounded up.
        let leading: Vec<i32> = problem.weights.iter().map(|&weight| -(-weight >> shift)).collect();
        let dots =
            conv::run(&ConvProblem { weights: &leading, bias: &none, residual: None, ..*problem }, None, isa).sums;
        let unit = share * ((1_u64 << shift) - 1) as f64;
        for (idx, (&start, dot)) in starts.iter().zip(dots).enumerate() {
            let (filter, position) = (idx / per_filter, idx % per_filter);
            let mass = masses[filter / filters_per_group * per_filter + position];
            let negative = ((start + (dot << shift)) as f64) < unit * mass as f64;
            if negative && u32::from(planes[idx]) == bits {
                planes[idx] = plane as u8;
            }
        }
    }
    Ok(planes)
}

/// Sum of the operands of each window, `[groups, p, q]`.
fn masses(problem: &ConvProblem, isa: Isa) -> Vec<i64> {
    let shape = problem.shape.with_one_filter_per_group();
    let (ones, none) = (vec![1; shape.weight_count()], vec![0; shape.k()]);
    let of_groups = ConvProblem { weights: &ones, bias: &none, residual: None, shape, ..*problem };
    conv::run(&of_groups, None, isa).sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integer::end_planes;
    use skimp_graph::shape::{LayerShape, ShapeSpec};
    use skimp_numerics::EndTest;

    fn problem<'a>(activations: &'a [i32], weights: &'a [i32], bias: &'a [i64]) -> ConvProblem<'a> {
        ConvProblem {
            activations,
            weights,
            bias,
            residual: None,
            shape: LayerShape::new(ShapeSpec { groups: 2, ..ShapeSpec::square(4, 6, 5, 6, 3) }).unwrap(),
            weight_bits: 8,
            activation_bits: 8,
            activation_signed: false,
            input_offset: 0,
        }
    }

    #[test]
    fn share_0_is_exact_detection_and_greater_shares_stop_earlier() {
        let activations: Vec<i32> = (0..120).map(|i| i * 7919 % 211).collect();
        let weights: Vec<i32> = (0..108).map(|i| i * 104_729 % 255 - 127).collect();
        let bias: Vec<i64> = (0..6).map(|k| k * 700 - 2000).collect();
        let problem = problem(&activations, &weights, &bias);
        let exact = end_planes(&problem, EndTest::Negative).unwrap().planes;
        assert_eq!(predictive_end_planes(&problem, 0.0).unwrap(), exact);
        let mut before = exact;
        for share in [0.25, 0.5, 1.0] {
            let planes = predictive_end_planes(&problem, share).unwrap();
            assert!(planes.iter().zip(&before).all(|(now, before)| now <= before));
            assert_ne!(planes, before);
            before = planes;
        }
    }
}
