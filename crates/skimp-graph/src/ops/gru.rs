//! GRU.

use crate::GraphError;
use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::ops::recurrent::{self, Cell, Direction, Gate, GateFunction, Recurrence};
use crate::ops::{Definition, Op, Operator};
use crate::testing::{Case, Generator, f, t};

/// With gates z (update), r (reset) and h: `z = f(W_z · x + R_z · H)`, `r = f(W_r · x + R_r · H)`,
/// `h = g(W_h · x + R_h · (r ⊙ H))`, `H' = (1 − z) ⊙ h + z ⊙ H`, biases left out here. Inputs: x, weights
/// `[directions, 3 · hidden, c]`, recurrent weights `[directions, 3 · hidden, hidden]`, optional biases
/// `[directions, 6 · hidden]` (those of the input first), lengths of the sequences (i32 `[n]`) and initial state.
/// Outputs: all states, the last state.
#[derive(Clone, Debug, PartialEq)]
pub struct Gru {
    /// Size, order and functions.
    pub recurrence: Recurrence,
    /// Whether the product with the recurrent weights, bias included, comes before the reset: `r ⊙ (R_h · H + b)`.
    pub linear_before_reset: bool,
}

impl Cell for Gru {
    const N_GATES: usize = 3;
    const N_BIASES: usize = 6;
    const N_STATES: usize = 1;
    const HAS_PEEPHOLES: bool = false;
    const DEFAULTS: &'static [GateFunction] = &[GateFunction::Sigmoid, GateFunction::Tanh];

    fn recurrence(&self) -> &Recurrence {
        &self.recurrence
    }

    fn step(&self, operands: &recurrent::Operands<'_>, states: &mut [Vec<f64>]) {
        let old = &states[0];
        let hidden = old.len();
        let gate = |row: usize| operands.gate(0, operands.from_input[row] + operands.recurrent(row, old));
        let reset: Vec<f64> = (0..hidden).map(|i| gate(hidden + i)).collect();
        let kept: Vec<f64> = reset.iter().zip(old).map(|(r, h)| r * h).collect();
        let new = |i: usize| {
            let row = 2 * hidden + i;
            let recurrent = if self.linear_before_reset {
                reset[i] * operands.recurrent(row, old)
            } else {
                operands.recurrent(row, &kept)
            };
            let update = gate(i);
            (1.0 - update) * operands.gate(1, operands.from_input[row] + recurrent) + update * old[i]
        };
        states[0] = (0..hidden).map(new).collect();
    }
}

impl Operator for Gru {
    recurrent::facts!(3..=6);

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(recurrent::export(self, form).int("linear_before_reset", i64::from(self.linear_before_reset)))
    }
}

impl Definition for Gru {
    const NAME: &'static str = "GRU";
    const ATTRIBUTES: &'static [&'static str] = &[
        "activation_alpha",
        "activation_beta",
        "activations",
        "clip",
        "direction",
        "hidden_size",
        "layout",
        "linear_before_reset",
    ];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let recurrence = recurrent::import(node, Self::DEFAULTS)?;
        let linear_before_reset = node.int_or("linear_before_reset", 0)? != 0;
        recurrent::emit::<Self>(node, importer, Op::Gru(Self { recurrence, linear_before_reset }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let recurrence = recurrent::draw_recurrence(generator, Self::DEFAULTS);
        let linear_before_reset = generator.draws.chance(0.5);
        recurrent::draw(generator, x, Self { recurrence, linear_before_reset }, Op::Gru)
    }

    fn cases() -> Vec<Case> {
        // Affine functions with slope 1, so that all is exact: z = 0.25, r = 0.5, old state 4.
        // h = 1 + 3 · (0.5 · 4) + 1 = 8, and 0.75 · 8 + 0.25 · 4 = 7; with the product first 1 + 0.5 · (3 · 4 + 1) = 7.5
        // and 6.625.
        let case = |what, linear_before_reset, expected: f32| {
            let affine = Gate { function: GateFunction::Affine, alpha: 1.0, beta: 0.0 };
            let recurrence = Recurrence {
                hidden_size: 1,
                direction: Direction::Forward,
                gates: vec![affine; 2],
                clip: None,
                batch_first: true,
            };
            Case {
                what,
                op: Op::Gru(Self { recurrence, linear_before_reset }),
                inputs: vec![
                    f(&[1, 1, 1], &[1.0]),
                    f(&[1, 3, 1], &[0.25, 0.5, 1.0]),
                    f(&[1, 3, 1], &[0.0, 0.0, 3.0]),
                    f(&[1, 6], &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
                    t(&[1], &[1_i32]),
                    f(&[1, 1, 1], &[4.0]),
                ],
                expected: vec![f(&[1, 1, 1, 1], &[expected]), f(&[1, 1, 1], &[expected])],
            }
        };
        vec![case("gru", false, 7.0), case("gru with the product before the reset", true, 6.625)]
    }
}
