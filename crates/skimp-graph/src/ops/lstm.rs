//! LSTM.

use crate::GraphError;
use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::ops::recurrent::{self, Cell, Direction, Gate, GateFunction, Recurrence};
use crate::ops::{Definition, Op, Operator};
use crate::testing::{Case, Generator, f, t};

/// With gates i, o, f and c: `i = f(W_i · x + R_i · H + P_i ⊙ C)`, `f` alike, `C' = f ⊙ C + i ⊙ g(W_c · x + R_c · H)`,
/// `o = f(W_o · x + R_o · H + P_o ⊙ C')`, `H' = o ⊙ h(C')`, biases left out here. Inputs: x, weights
/// `[directions, 4 · hidden, c]` in the order i, o, f, c, recurrent weights `[directions, 4 · hidden, hidden]`, optional
/// biases `[directions, 8 · hidden]` (those of the input first), lengths of the sequences (i32 `[n]`), initial H and C,
/// and peepholes P `[directions, 3 · hidden]` in the order i, o, f. Outputs: all H, the last H, the last C.
#[derive(Clone, Debug, PartialEq)]
pub struct Lstm {
    /// Size, order and functions.
    pub recurrence: Recurrence,
    /// Whether the forget gate is `1 − i`.
    pub input_forget: bool,
}

impl Cell for Lstm {
    const N_GATES: usize = 4;
    const N_BIASES: usize = 8;
    const N_STATES: usize = 2;
    const HAS_PEEPHOLES: bool = true;
    const DEFAULTS: &'static [GateFunction] = &[GateFunction::Sigmoid, GateFunction::Tanh, GateFunction::Tanh];

    fn recurrence(&self) -> &Recurrence {
        &self.recurrence
    }

    fn step(&self, operands: &recurrent::Operands<'_>, states: &mut [Vec<f64>]) {
        let (old, cell) = (&states[0], &states[1]);
        let hidden = old.len();
        let sum = |row: usize| operands.from_input[row] + operands.recurrent(row, old);
        let peep = |row: usize, cell: f64| operands.peepholes.map_or(0.0, |weights| weights[row] * cell);
        let mut next = [Vec::with_capacity(hidden), Vec::with_capacity(hidden)];
        for (i, &old_cell) in cell.iter().enumerate() {
            let (output, forget, candidate) = (hidden + i, 2 * hidden + i, 3 * hidden + i);
            let input_gate = operands.gate(0, sum(i) + peep(i, old_cell));
            let forget_gate = if self.input_forget {
                1.0 - input_gate
            } else {
                operands.gate(0, sum(forget) + peep(forget, old_cell))
            };
            let new = forget_gate * old_cell + input_gate * operands.gate(1, sum(candidate));
            let output_gate = operands.gate(0, sum(output) + peep(output, new));
            next[0].push(output_gate * operands.activate(2, new));
            next[1].push(new);
        }
        let [h, c] = next;
        (states[0], states[1]) = (h, c);
    }
}

impl Operator for Lstm {
    recurrent::facts!(3..=8);

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(recurrent::export(self, form).int("input_forget", i64::from(self.input_forget)))
    }
}

impl Definition for Lstm {
    const NAME: &'static str = "LSTM";
    const ATTRIBUTES: &'static [&'static str] = &[
        "activation_alpha",
        "activation_beta",
        "activations",
        "clip",
        "direction",
        "hidden_size",
        "input_forget",
        "layout",
    ];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let recurrence = recurrent::import(node, Self::DEFAULTS)?;
        let input_forget = node.int_or("input_forget", 0)? != 0;
        recurrent::emit::<Self>(node, importer, Op::Lstm(Self { recurrence, input_forget }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let recurrence = recurrent::draw_recurrence(generator, Self::DEFAULTS);
        let input_forget = generator.draws.chance(0.2);
        recurrent::draw(generator, x, Self { recurrence, input_forget }, Op::Lstm)
    }

    fn cases() -> Vec<Case> {
        // Affine functions with slope 1: i = 0.5 + 0.25 · 4 = 1.5, f = 2 (or 1 − i), candidate 1 + 2 · 3 = 7, so that
        // C = 2 · 4 + 1.5 · 7 = 18.5 (or 8.5); o = 1, and H = C.
        let case = |what, input_forget, expected: f32| {
            let affine = Gate { function: GateFunction::Affine, alpha: 1.0, beta: 0.0 };
            let recurrence = Recurrence {
                hidden_size: 1,
                direction: Direction::Forward,
                gates: vec![affine; 3],
                clip: None,
                batch_first: false,
            };
            Case {
                what,
                op: Op::Lstm(Self { recurrence, input_forget }),
                inputs: vec![
                    f(&[1, 1, 1], &[1.0]),
                    f(&[1, 4, 1], &[0.5, 1.0, 1.5, 1.0]),
                    f(&[1, 4, 1], &[0.0, 0.0, 0.0, 2.0]),
                    f(&[1, 8], &[0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 0.25, 0.0]),
                    t(&[1], &[1_i32]),
                    f(&[1, 1, 1], &[3.0]),
                    f(&[1, 1, 1], &[4.0]),
                    f(&[1, 3], &[0.25, 0.0, 0.0]),
                ],
                expected: vec![f(&[1, 1, 1, 1], &[expected]), f(&[1, 1, 1], &[expected]), f(&[1, 1, 1], &[expected])],
            }
        };
        vec![case("lstm", false, 18.5), case("lstm with coupled gates", true, 8.5)]
    }
}
