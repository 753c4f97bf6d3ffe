//! What the microscaling policies have in common: blocks along the axis that each GEMM sums over.

use skimp_numerics::formats::BF16;
use skimp_numerics::{
    BlockAxis, BlockInfinity, CastCounts as Lost, FloatCast, MX_BLOCK, MxCast, MxElement, RandomBits, ScaleRule,
};

use super::ledger::{Ledger, class, in_pieces, in_pieces_of, none_left, whole_units};
use super::switches::{Exempt, choice, round_switch};
use super::{CastCounts, Contraction, Operand, Pass, Policy, Role, Site, Switch, Verdict};
use crate::spec::Spec;
use crate::{Param, TrainError};

/// Source of all microscaling policies.
pub(super) const SOURCE: &str = "Rouhani et al., Microscaling Data Formats for Deep Learning, arXiv:2310.10537, 2023; OCP \
     Microscaling Formats (MX) Specification v1.0. Differs: blocks of a convolution run over channels within one tap and \
     one pixel, of a weight gradient over pixels";

/// Operands in blocks of 32, quantized again for each GEMM along its own axis; sums and updates in f32.
#[derive(Debug)]
struct Mx {
    name: &'static str,
    ledger: Ledger,
    forward: MxCast,
    backward: MxCast,
    /// Operands go to bfloat16 before.
    before: Option<FloatCast>,
    exempt: Exempt,
}

/// The common switches; a policy puts its own before them.
macro_rules! switches {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            $crate::policy::Switch {
                name: "scale",
                default: "floor",
                summary: "scale of a block: floor (OCP; elements may saturate), even, ceil or rceil, as torchao names them",
            },
            $crate::policy::Switch {
                name: "infinity",
                default: "nan",
                summary: "a block with an infinity: nan throughout, or saturate as in torchao",
            },
            $crate::policy::Switch {
                name: "round",
                default: "nearest-even",
                summary: $crate::policy::switches::ROUND,
            },
            $crate::policy::Switch {
                name: "bf16",
                default: "false",
                summary: "round operands to bfloat16 first, as the authors' library does",
            },
            $crate::policy::Switch {
                name: "exempt",
                default: "none",
                summary: $crate::policy::switches::EXEMPT,
            },
        ]
    };
}
pub(super) use switches;

/// The switches of a policy.
pub(super) type Switches = &'static [Switch];

/// A policy from the elements of weights and activations, those of errors, and the common switches.
pub(super) fn create(
    name: &'static str,
    forward: MxElement,
    backward: MxElement,
    spec: &mut Spec,
) -> Result<Box<dyn Policy>, TrainError> {
    let rule = choice(spec, "scale", &ScaleRule::ALL.map(|rule| (rule.name(), rule)))?;
    let infinities = [("nan", BlockInfinity::Nan), ("saturate", BlockInfinity::Saturate)];
    let infinity = choice(spec, "infinity", &infinities)?;
    let rounding = round_switch(spec)?;
    let before = spec.flag("bf16", false)?.then(|| FloatCast::new(BF16));
    let exempt = Exempt::read(spec)?;
    let cast = |element| MxCast::new(element, rounding, rule).with_infinity(infinity);
    let (forward, backward) = (cast(forward), cast(backward));
    Ok(Box::new(Mx { name, ledger: Ledger::default(), forward, backward, before, exempt }))
}

/// Rounds an operand in blocks along the axis that its GEMM sums over; without such an axis along its rows.
fn round(cast: &MxCast, operand: &mut Operand<'_>, random: RandomBits) -> Lost {
    let columns = operand.columns;
    let convert =
        |length, axis| move |piece: &mut [f32], offset| cast.round_matrix(piece, length, axis, random.skip(offset));
    match operand.contraction {
        Contraction::Columns { run } => in_pieces_of(operand.values, whole_units(run), convert(run, BlockAxis::Rows)),
        Contraction::None => in_pieces_of(operand.values, whole_units(columns), convert(columns, BlockAxis::Rows)),
        // Pieces end where blocks do: at the end of a run, or after so many whole blocks of a long one.
        Contraction::Rows { run } if run.is_multiple_of(MX_BLOCK) || run >= operand.rows => {
            in_pieces_of(operand.values, whole_units(MX_BLOCK * columns), convert(columns, BlockAxis::Columns))
        }
        Contraction::Rows { run } => {
            let run = run.max(1) * columns;
            in_pieces_of(operand.values, whole_units(run), |piece, offset| {
                let mut lost = Lost::default();
                for (i, tap) in piece.chunks_mut(run.max(1)).enumerate() {
                    let random = random.skip(offset + (i * run) as u64);
                    lost.add(cast.round_matrix(tap, columns, BlockAxis::Columns, random));
                }
                lost
            })
        }
    }
}

impl Policy for Mx {
    fn name(&self) -> &'static str {
        self.name
    }

    fn begin_step(&mut self, seed: u64, step: u64, _n_images: usize) {
        self.ledger.begin(seed, step);
    }

    fn casts(&self, site: &Site, role: Role, _pass: Pass) -> bool {
        matches!(role, Role::Weight | Role::Activation | Role::Error) && !self.exempt.holds(site)
    }

    fn shares(&self, _site: &Site, _role: Role) -> bool {
        false
    }

    fn cast(&mut self, _site: &Site, mut operand: Operand<'_>) {
        if let Some(before) = &self.before {
            let none = RandomBits::default();
            in_pieces(operand.values, |piece, _| before.round_slice(piece, none));
        }
        let cast = if operand.role == Role::Error { self.backward } else { self.forward };
        let random = self.ledger.random();
        let lost = round(&cast, &mut operand, random);
        self.ledger.tally(class(operand.role), lost);
    }

    fn after_backward(&mut self, _params: &mut [Param]) -> Verdict {
        self.ledger.end();
        Verdict::Step
    }

    fn counts(&self) -> Option<&CastCounts> {
        Some(self.ledger.counts())
    }

    fn state(&self) -> Vec<(String, Vec<f64>)> {
        self.ledger.state()
    }

    fn restore(&mut self, state: &[(String, Vec<f64>)]) -> Result<(), TrainError> {
        none_left(self.name, &self.ledger.restore(self.name, state)?)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "results are compared exactly")]
mod tests {
    use super::*;
    use skimp_numerics::Rounding;
    use skimp_numerics::formats::MXFP6_E3M2;

    #[test]
    fn pieces_and_runs_round_as_separate_matrices_do() {
        let cast = MxCast::new(MXFP6_E3M2, Rounding::NearestEven, ScaleRule::Floor);
        // Small and large matrices; runs of whole blocks, of parts of blocks, and of everything.
        for (rows, columns, run) in [(30, 6, 10), (4000, 24, 4000), (9 * 64, 64, 64), (9 * 48, 100, 48), (0, 4, 0)] {
            let matrix: Vec<f32> =
                (0..rows * columns).map(|i| skimp_numerics::rng::normal(5, 6, i as u64) as f32).collect();
            let groups = [1, 2, columns].map(|groups| Contraction::Columns { run: columns / groups });
            for contraction in groups.into_iter().chain([Contraction::None, Contraction::Rows { run }]) {
                let mut values = matrix.clone();
                let (role, pass) = (Role::Weight, Pass::Forward);
                let mut operand = Operand { role, pass, values: &mut values, rows, columns, contraction };
                let lost = round(&cast, &mut operand, RandomBits::default());
                assert_eq!(lost.total, matrix.len() as u64);
                let mut expected = matrix.clone();
                match contraction {
                    Contraction::Rows { run } => {
                        for tap in expected.chunks_mut((run * columns).max(1)) {
                            cast.round_matrix(tap, columns, BlockAxis::Columns, RandomBits::default());
                        }
                    }
                    Contraction::Columns { run } => {
                        for group in expected.chunks_mut(run) {
                            cast.round_matrix(group, run, BlockAxis::Rows, RandomBits::default());
                        }
                    }
                    Contraction::None => {
                        cast.round_matrix(&mut expected, columns, BlockAxis::Rows, RandomBits::default());
                    }
                }
                assert!(values == expected, "{rows} x {columns}, {contraction:?}");
            }
        }
    }
}
