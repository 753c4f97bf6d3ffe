//! LSTM with weights as codes, whose input and state are quantized as they come.
//!
//! # Source
//! onnxruntime 1.32, `docs/ContribOperators.md`, `DynamicQuantizeLSTM`. Weights are `[directions, inputs, 4 · hidden]`, the
//! other way round than those of `LSTM`.

use super::dynamic::{cast, integer_product, parameters};
use super::{Function, Steps, int};
use crate::onnx::import::Given;
use crate::ops::Scan;
use crate::{DType, GraphError, Op, Tensor};

pub(super) const FUNCTIONS: &[Function] = &[Function::microsoft(
    "DynamicQuantizeLSTM",
    &["activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "input_forget"],
    lstm,
)];

/// One direction: its weights, their scales and zero points, and what it starts from.
struct Direction {
    label: &'static str,
    idx: usize,
    is_backwards: bool,
}

fn lstm(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(3, 12)?;
    let node = steps.node;
    for (idx, what) in [(4, "lengths of sequences"), (7, "peepholes")] {
        if !steps.input(idx).is_empty() {
            return Err(node.unsupported(what));
        }
    }
    let functions = node.strings("activations")?.unwrap_or_default();
    if functions.chunks(3).any(|functions| !functions.iter().zip(["Sigmoid", "Tanh", "Tanh"]).all(|(a, b)| *a == b)) {
        return Err(node.unsupported(format!("activations {functions:?}")));
    }
    if node.float("clip")?.is_some_and(|clip| clip > 0.0) {
        return Err(node.unsupported("a clip"));
    }
    let forward = Direction { label: "forward", idx: 0, is_backwards: false };
    let directions = match node.string("direction")?.unwrap_or("forward") {
        "forward" => vec![forward],
        "reverse" => vec![Direction { label: "reverse", idx: 0, is_backwards: true }],
        "bidirectional" => vec![forward, Direction { label: "backward", idx: 1, is_backwards: true }],
        other => return Err(node.invalid(format!("direction \"{other}\""))),
    };
    let x = steps.required(0)?;
    let [scale, zero_point] = parameters(steps, x)?;
    let codes = steps.add("codes", "QuantizeLinear", &[x, &scale, &zero_point], Vec::new())?;
    let mut outputs: [Vec<String>; 3] = Default::default();
    for direction in &directions {
        let made = one_direction(steps, direction, [&codes, &scale, &zero_point])?;
        outputs.iter_mut().zip(made).for_each(|(all, output)| all.push(output));
    }
    for (idx, (label, all, axis)) in
        [("y", &outputs[0], 1), ("y_h", &outputs[1], 0), ("y_c", &outputs[2], 0)].into_iter().enumerate()
    {
        let axes = steps.ints(&format!("{label}_axis"), &[axis]);
        let mut parts = Vec::with_capacity(all.len());
        for part in all {
            parts.push(steps.add(&format!("{label}_part"), "Unsqueeze", &[part, &axes], Vec::new())?);
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        steps.output(idx, label, "Concat", &parts, int("axis", axis))?;
    }
    Ok(())
}

/// The part of an input that belongs to a direction.
fn part(steps: &mut Steps<'_, '_>, direction: &Direction, label: &str, input: usize) -> Result<String, GraphError> {
    let name = steps.required(input)?;
    let label = format!("{}_{label}", direction.label);
    let idx = steps.constant(&format!("{label}_idx"), Tensor::from_i64(Vec::new(), vec![direction.idx as i64]));
    steps.add(&label, "Gather", &[name, &idx], int("axis", 0))
}

/// Products of codes with weights that are codes, as real numbers.
fn real_product(
    steps: &mut Steps<'_, '_>,
    label: &str,
    [codes, scale, zero_point]: [&str; 3],
    [weights, weight_scale, weight_zero]: [&str; 3],
) -> Result<String, GraphError> {
    let sums = integer_product(steps, [codes, weights], [zero_point, weight_zero])?;
    let sums = steps.add(&format!("{label}_sums"), "Cast", &[&sums], cast(DType::F32))?;
    let factor = steps.add(&format!("{label}_factor"), "Mul", &[scale, weight_scale], Vec::new())?;
    steps.add(label, "Mul", &[&sums, &factor], Vec::new())
}

/// All H, the last H and the last C of one direction.
fn one_direction(
    steps: &mut Steps<'_, '_>,
    direction: &Direction,
    input: [&str; 3],
) -> Result<[String; 3], GraphError> {
    let label = direction.label;
    let weights = [("w", 1), ("w_scale", 8), ("w_zero", 9)].map(|(label, idx)| part(steps, direction, label, idx));
    let [w, w_scale, w_zero] = weights;
    let recurrent = [("r", 2), ("r_scale", 10), ("r_zero", 11)].map(|(label, idx)| part(steps, direction, label, idx));
    let [r, r_scale, r_zero] = recurrent;
    let (r, r_scale, r_zero) = (r?, r_scale?, r_zero?);
    let hidden = steps.known_extent(&r, 0)?.ok_or_else(|| steps.node.unsupported("weights of unknown size"))? as i64;
    let mut gates = real_product(steps, &format!("{label}_gates"), input, [&w?, &w_scale?, &w_zero?])?;
    if !steps.input(3).is_empty() {
        let biases = part(steps, direction, "biases", 3)?;
        let of_input = steps.cut(&format!("{label}_input_bias"), &biases, [0, 4 * hidden, 1])?;
        let of_state = steps.cut(&format!("{label}_state_bias"), &biases, [4 * hidden, 8 * hidden, 1])?;
        let bias = steps.sum(&format!("{label}_bias"), &of_input, &of_state)?;
        gates = steps.sum(&format!("{label}_biased"), &gates, &bias)?;
    }
    let gates = steps.axis_first(&gates, 0, direction.is_backwards)?;
    let mut states = Vec::with_capacity(2);
    for (state, idx) in [("h", 5), ("c", 6)] {
        states.push(if steps.input(idx).is_empty() {
            zeros(steps, &format!("{label}_{state}"), &gates, hidden)?
        } else {
            part(steps, direction, &format!("initial_{state}"), idx)?
        });
    }
    let node = steps.node;
    let mut inputs = Vec::with_capacity(3);
    let mut given = Vec::with_capacity(3);
    for (name, value) in ["h", "c", "gates"].into_iter().zip(states.iter().chain([&gates])) {
        let id = steps.value(value)?;
        let shape = steps.importer.shape(id).clone();
        let shape = if name == "gates" { shape.and_then(|shape| shape.get(1..).map(<[_]>::to_vec)) } else { shape };
        given.push(Given { name, dtype: DType::F32, shape });
        inputs.push(id);
    }
    let couples = node.int_or("input_forget", 0)? != 0;
    let scope = steps.importer.scope_of(node, given, |importer, names| {
        let [h, c, gates] = names else { return Err(node.invalid("no states")) };
        step(&mut Steps::new(node, importer), [h, c, gates], [&r, &r_scale, &r_zero], hidden, couples)
    })?;
    let captured = steps.importer.captured(&[&scope]);
    let name = steps.importer.free_node_name(&format!("{}.{label}", node.name()));
    let body = steps.importer.body(node, &format!("{name}.body"), scope, &captured)?;
    let op = Op::Scan(Scan { body, n_states: 2, n_slices: 1 });
    let outputs = ["h", "c", "y"].map(|output| {
        let output = steps.importer.free_value_name(&format!("{}.{label}_last_{output}", node.name()));
        steps.importer.mark_read(&output);
        output
    });
    let inputs = inputs.into_iter().chain(captured).map(Some).collect();
    steps.importer.emit_as(node, name, op, inputs, &[&outputs[0], &outputs[1], &outputs[2]])?;
    let [h, c, y] = outputs;
    Ok([steps.axis_first(&y, 0, direction.is_backwards)?, h, c])
}

/// As many zeros as there are images and hidden values.
fn zeros(steps: &mut Steps<'_, '_>, label: &str, gates: &str, hidden: i64) -> Result<String, GraphError> {
    let first = steps.constant(&format!("{label}_first"), Tensor::from_i64(Vec::new(), vec![0]));
    let row = steps.add(&format!("{label}_row"), "Gather", &[gates, &first], int("axis", 0))?;
    let part = steps.cut(&format!("{label}_part"), &row, [0, hidden, 1])?;
    let truth = steps.add(&format!("{label}_truth"), "Cast", &[&part], cast(DType::Bool))?;
    let falses = steps.add(&format!("{label}_false"), "Xor", &[&truth, &truth], Vec::new())?;
    steps.add(&format!("{label}_zeros"), "Cast", &[&falses], cast(DType::F32))
}

/// One step: the next H, the next C, and H again as what is stacked.
fn step(
    steps: &mut Steps<'_, '_>,
    [h, c, gates]: [&str; 3],
    recurrent: [&str; 3],
    hidden: i64,
    couples: bool,
) -> Result<Vec<String>, GraphError> {
    let [scale, zero_point] = parameters(steps, h)?;
    let codes = steps.add("state_codes", "QuantizeLinear", &[h, &scale, &zero_point], Vec::new())?;
    let from_state = real_product(steps, "from_state", [&codes, &scale, &zero_point], recurrent)?;
    let gates = steps.sum("gate_sums", gates, &from_state)?;
    let mut cut = |label: &str, idx: i64| steps.cut(label, &gates, [idx * hidden, (idx + 1) * hidden, 1]);
    let [i, o, f, g] = [("i", 0), ("o", 1), ("f", 2), ("g", 3)].map(|(label, idx)| cut(label, idx));
    let i = steps.add("input_gate", "Sigmoid", &[&i?], Vec::new())?;
    let o = steps.add("output_gate", "Sigmoid", &[&o?], Vec::new())?;
    let f = if couples {
        let one = steps.float("one", 1.0);
        steps.add("forget_gate", "Sub", &[&one, &i], Vec::new())?
    } else {
        steps.add("forget_gate", "Sigmoid", &[&f?], Vec::new())?
    };
    let g = steps.add("candidate", "Tanh", &[&g?], Vec::new())?;
    let kept = steps.add("kept", "Mul", &[&f, c], Vec::new())?;
    let new = steps.add("new", "Mul", &[&i, &g], Vec::new())?;
    let c = steps.sum("next_c", &kept, &new)?;
    let bent = steps.add("bent_c", "Tanh", &[&c], Vec::new())?;
    let h = steps.add("next_h", "Mul", &[&o, &bent], Vec::new())?;
    Ok(vec![h.clone(), c, h])
}
