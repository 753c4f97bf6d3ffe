//! RNN.

use crate::GraphError;
use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::ops::recurrent::{self, Cell, Direction, Gate, GateFunction, Recurrence};
use crate::ops::{Definition, Op, Operator};
use crate::testing::{Case, Generator, f, t};

/// `H' = f(W · x + R · H + biases)`. Inputs: x, weights `[directions, hidden, c]`, recurrent weights
/// `[directions, hidden, hidden]`, optional biases `[directions, 2 · hidden]` (those of the input first), lengths of the
/// sequences (i32 `[n]`) and initial state. Outputs: all states, the last state.
#[derive(Clone, Debug, PartialEq)]
pub struct Rnn {
    /// Size, order and functions.
    pub recurrence: Recurrence,
}

impl Cell for Rnn {
    const N_GATES: usize = 1;
    const N_BIASES: usize = 2;
    const N_STATES: usize = 1;
    const HAS_PEEPHOLES: bool = false;
    const DEFAULTS: &'static [GateFunction] = &[GateFunction::Tanh];

    fn recurrence(&self) -> &Recurrence {
        &self.recurrence
    }

    fn step(&self, operands: &recurrent::Operands<'_>, states: &mut [Vec<f64>]) {
        let sum = |row: usize| operands.from_input[row] + operands.recurrent(row, &states[0]);
        states[0] = (0..states[0].len()).map(|row| operands.gate(0, sum(row))).collect();
    }
}

impl Operator for Rnn {
    recurrent::facts!(3..=6);

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(recurrent::export(self, form))
    }
}

impl Definition for Rnn {
    const NAME: &'static str = "RNN";
    const ATTRIBUTES: &'static [&'static str] =
        &["activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "layout"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let recurrence = recurrent::import(node, Self::DEFAULTS)?;
        recurrent::emit::<Self>(node, importer, Op::Rnn(Self { recurrence }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let recurrence = recurrent::draw_recurrence(generator, Self::DEFAULTS);
        recurrent::draw(generator, x, Self { recurrence }, Op::Rnn)
    }

    fn cases() -> Vec<Case> {
        // Relu: 1·1 + 0·2 + 1 = 2, then 1·3 + 2·2 + 1 = 8; backwards 1·3 + 0 + 1 = 4, then 1 + 4·2 + 1 = 10.
        let rnn = |direction, gates| {
            let recurrence = Recurrence { hidden_size: 1, direction, gates, clip: None, batch_first: false };
            Op::Rnn(Self { recurrence })
        };
        let inputs = |d: usize| {
            let of = |value: f32| vec![value; d];
            let biases: Vec<f32> = (0..d).flat_map(|_| [0.5, 0.5]).collect();
            let x = f(&[2, 1, 1], &[1.0, 3.0]);
            vec![x, f(&[d, 1, 1], &of(1.0)), f(&[d, 1, 1], &of(2.0)), f(&[d, 2], &biases)]
        };
        let relu = Gate::plain(GateFunction::Relu);
        let mut cut = inputs(1);
        cut.push(t(&[1], &[1_i32]));
        vec![
            Case {
                what: "rnn in both directions",
                op: rnn(Direction::Bidirectional, vec![relu; 2]),
                inputs: inputs(2),
                expected: vec![f(&[2, 2, 1, 1], &[2.0, 10.0, 8.0, 4.0]), f(&[2, 1, 1], &[8.0, 10.0])],
            },
            Case {
                what: "rnn of a shorter sequence",
                op: rnn(Direction::Forward, vec![relu]),
                inputs: cut,
                expected: vec![f(&[2, 1, 1, 1], &[2.0, 0.0]), f(&[1, 1, 1], &[2.0])],
            },
        ]
    }
}
