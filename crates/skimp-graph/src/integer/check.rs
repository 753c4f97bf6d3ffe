//! The rules that every integer network keeps, checked once before an engine runs it.

use super::{
    Activation, AddRule, Encoding, FloatOperand, IntegerGraph, IntegerNode, IntegerOp, MacLayer, MacLayout, MacOutput,
    ValueKind,
};
use crate::GraphError;

/// Accumulators, partial sums and rescaled residuals stay below 2^62 in magnitude.
const ACCUMULATOR_LIMIT: i128 = 1 << 62;

/// Checks that `graph` is well formed: every node reads values that come before it, kinds and encodings agree, codes
/// are within their limits, and on any input no accumulator can leave 62 bits, or 32 where its requantization has no more.
///
/// # Errors
/// [`GraphError::InvalidGraph`] or [`GraphError::InvalidNode`] for the first rule broken.
pub fn check(graph: &IntegerGraph) -> Result<(), GraphError> {
    let invalid = |cause: String| GraphError::InvalidGraph { graph: graph.name.clone(), cause };
    let known = |id: crate::ValueId, user: &str| {
        if id.0 < graph.values.len() {
            Ok(())
        } else {
            Err(invalid(format!("{user} refers to a value that does not exist")))
        }
    };
    for value in &graph.values {
        if let ValueKind::Codes(encoding) = &value.kind {
            check_encoding(encoding).map_err(|cause| invalid(format!("value \"{}\": {cause}", value.name)))?;
        }
    }
    let mut made = vec![false; graph.values.len()];
    for input in &graph.inputs {
        known(input.value, "an input")?;
        made[input.value.0] = true;
        if graph.values[input.value.0].kind != ValueKind::Real {
            return Err(invalid(format!("input \"{}\" is not real", graph.values[input.value.0].name)));
        }
    }
    for node in &graph.nodes {
        for &id in node.inputs.iter().chain(&node.outputs) {
            known(id, &format!("node \"{}\"", node.name))?;
        }
        if let Some(id) = node.inputs.iter().find(|id| !made[id.0]) {
            let cause = format!("reads \"{}\" before a node makes it", graph.values[id.0].name);
            return Err(GraphError::invalid_node(&node.name, node.op.name(), cause));
        }
        for id in &node.outputs {
            if std::mem::replace(&mut made[id.0], true) {
                return Err(invalid(format!("value \"{}\" has two sources", graph.values[id.0].name)));
            }
        }
        check_node(graph, node).map_err(|cause| GraphError::invalid_node(&node.name, node.op.name(), cause))?;
    }
    for &id in &graph.outputs {
        known(id, "an output")?;
        if !made[id.0] || graph.values[id.0].kind != ValueKind::Real {
            return Err(invalid(format!("output \"{}\" is not a real value with a source", graph.values[id.0].name)));
        }
    }
    Ok(())
}

fn check_encoding(encoding: &Encoding) -> Result<(), String> {
    if !(2..=16).contains(&encoding.bits) {
        return Err(format!("{} bits, expected 2 to 16", encoding.bits));
    }
    if !(encoding.scale > 0.0 && encoding.scale.is_finite()) {
        return Err(format!("scale {}, expected a positive finite number", encoding.scale));
    }
    if !(encoding.min_code()..=encoding.max_code()).contains(&encoding.zero_point) {
        let (min, max) = (encoding.min_code(), encoding.max_code());
        return Err(format!("zero point {}, expected a code from {min} to {max}", encoding.zero_point));
    }
    Ok(())
}

fn check_node(graph: &IntegerGraph, node: &IntegerNode) -> Result<(), String> {
    let n_inputs = match &node.op {
        IntegerOp::Mac(layer) => 1 + usize::from(layer.residual.is_some()),
        IntegerOp::Add { .. } | IntegerOp::Product { .. } => 2,
        IntegerOp::Concat { .. } => node.inputs.len().max(1),
        IntegerOp::Float { operands, .. } => {
            operands.iter().filter(|operand| **operand == FloatOperand::Input).count().max(node.inputs.len())
        }
        _ => 1,
    };
    if node.inputs.len() != n_inputs {
        return Err(format!("{} inputs, expected {n_inputs}", node.inputs.len()));
    }
    if node.outputs.is_empty() || (node.outputs.len() > 1 && !matches!(node.op, IntegerOp::Float { .. })) {
        return Err(format!("{} outputs, expected 1", node.outputs.len()));
    }
    let inputs: Vec<&ValueKind> = node.inputs.iter().map(|id| &graph.values[id.0].kind).collect();
    let output = &graph.values[node.outputs[0].0].kind;
    let codes = |kind: &ValueKind| match kind {
        ValueKind::Codes(encoding) => Ok(*encoding),
        ValueKind::Real => Err("a value is real, expected codes".to_owned()),
    };
    match &node.op {
        IntegerOp::Quantize(_) => {
            codes(output)?;
            real(inputs[0])
        }
        IntegerOp::Dequantize | IntegerOp::Expose => {
            codes(inputs[0])?;
            real(output)
        }
        IntegerOp::Float { .. } => {
            let outputs = node.outputs.iter().map(|id| &graph.values[id.0].kind);
            inputs.into_iter().chain(outputs).try_for_each(real)
        }
        IntegerOp::Mac(layer) => {
            let residual = inputs.get(1).map(|kind| codes(kind)).transpose()?;
            check_layer(layer, &codes(inputs[0])?, residual.as_ref(), output)
        }
        IntegerOp::AveragePool { min, max, .. } => {
            codes(inputs[0])?;
            match output {
                ValueKind::Codes(to) => clamp_within(*min, *max, to),
                ValueKind::Real => Ok(()),
            }
        }
        IntegerOp::Add { rule, min, max } => {
            inputs.into_iter().chain([output]).try_for_each(|kind| codes(kind).map(|_| ()))?;
            if let AddRule::Exact { factors, shift, .. } = rule {
                let small = factors.iter().all(|factor| factor.unsigned_abs() <= 1 << 62);
                if !small || *shift > 96 {
                    return Err("a factor or the shift is out of range".to_owned());
                }
            }
            clamp_within(*min, *max, &codes(output)?)
        }
        IntegerOp::Product { output: form, min, max } => {
            inputs.into_iter().try_for_each(|kind| codes(kind).map(|_| ()))?;
            check_product(form, (*min, *max), output)
        }
        IntegerOp::Rescale { min, max, .. } => {
            zero_at_zero(&codes(inputs[0])?)?;
            zero_at_zero(&codes(output)?)?;
            clamp_within(*min, *max, &codes(output)?)
        }
        IntegerOp::Table(table) => {
            let (from, to) = (codes(inputs[0])?, codes(output)?);
            if i64::try_from(table.len()) != Ok(i64::from(from.max_code()) - i64::from(from.min_code()) + 1) {
                return Err(format!("a table of {} codes for inputs of {} bits", table.len(), from.bits));
            }
            let within = |code: &i32| (to.min_code()..=to.max_code()).contains(code);
            if table.iter().all(within) { Ok(()) } else { Err("a table leaves the output's codes".to_owned()) }
        }
        IntegerOp::Sign => {
            zero_at_zero(&codes(inputs[0])?)?;
            let to = codes(output)?;
            if to.signed { Ok(()) } else { Err("the output is unsigned".to_owned()) }
        }
        IntegerOp::MaxPool(_)
        | IntegerOp::Concat { .. }
        | IntegerOp::Slice(_)
        | IntegerOp::Pad { .. }
        | IntegerOp::Move(_) => {
            let to = codes(output)?;
            for kind in inputs {
                if codes(kind)? != to {
                    return Err("input and output have different encodings".to_owned());
                }
            }
            Ok(())
        }
    }
}

fn real(kind: &ValueKind) -> Result<(), String> {
    if *kind == ValueKind::Real { Ok(()) } else { Err("a value holds codes, expected real numbers".to_owned()) }
}

fn zero_at_zero(encoding: &Encoding) -> Result<(), String> {
    match encoding.zero_point {
        0 => Ok(()),
        other => Err(format!("zero point {other}, expected 0")),
    }
}

fn clamp_within(min: i32, max: i32, encoding: &Encoding) -> Result<(), String> {
    if encoding.min_code() <= min && min <= max && max <= encoding.max_code() {
        Ok(())
    } else {
        let (least, greatest) = (encoding.min_code(), encoding.max_code());
        Err(format!("clamps to {min} ..= {max}, expected a range within {least} ..= {greatest}"))
    }
}

/// How many products a sum has is known where a network runs. Products of codes stay below 2^33, so that no sum whose operands
/// fit into memory leaves 62 bits; one that leaves the 32 bits of its requantization is an error of the run.
fn check_product(form: &MacOutput, (min, max): (i32, i32), output: &ValueKind) -> Result<(), String> {
    if form.n_scales() != 1 {
        return Err(format!("{} output scales, expected 1", form.n_scales()));
    }
    match (output, form) {
        (ValueKind::Codes(to), MacOutput::Codes(_)) => clamp_within(min, max, to),
        (ValueKind::Real, MacOutput::Real(_) | MacOutput::RealSingle(_)) => Ok(()),
        _ => Err("the product and its output value disagree on codes or reals".to_owned()),
    }
}

fn check_layer(
    layer: &MacLayer,
    input: &Encoding,
    residual: Option<&Encoding>,
    output: &ValueKind,
) -> Result<(), String> {
    let [k, depth, r, s] = layer.weight_shape;
    let n_weights = [k, depth, r, s].iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
    if n_weights != Some(layer.weight.len()) {
        return Err(format!("{} weights, expected {:?}", layer.weight.len(), layer.weight_shape));
    }
    if layer.groups == 0 || !k.is_multiple_of(layer.groups) {
        return Err(format!("{} groups do not divide {k} output channels", layer.groups));
    }
    if layer.window.kernel != [r, s] || layer.window.ceil_mode {
        return Err(format!("window {:?} does not fit weights {:?}", layer.window.kernel, layer.weight_shape));
    }
    match layer.layout {
        MacLayout::Rows if layer.groups != 1 || [r, s] != [1, 1] => {
            return Err("a dense layer has groups or a window".to_owned());
        }
        MacLayout::Line if r != 1 => return Err("a convolution over one axis has a window of two".to_owned()),
        MacLayout::Rows | MacLayout::Line | MacLayout::Planes => {}
    }
    if !(2..=16).contains(&layer.weight_bits) {
        return Err(format!("{} weight bits, expected 2 to 16", layer.weight_bits));
    }
    let limit = (1_i32 << (layer.weight_bits - 1)) - 1;
    if let Some(code) = layer.weight.iter().find(|w| w.unsigned_abs() > limit.unsigned_abs()) {
        return Err(format!("weight code {code} is outside ±{limit}"));
    }
    if layer.bias.len() != k {
        return Err(format!("{} biases, expected {k}", layer.bias.len()));
    }
    let lists = [
        ("weight scales", layer.weight_scales.len()),
        ("residual multipliers", layer.residual.as_ref().map_or(1, Vec::len)),
        ("output scales", layer.output.n_scales()),
    ];
    for (what, n) in lists {
        if n != 1 && n != k {
            return Err(format!("{n} {what}, expected 1 or {k}"));
        }
    }
    if !layer.weight_scales.iter().all(|scale| *scale > 0.0 && scale.is_finite()) {
        return Err("a weight scale is not a positive finite number".to_owned());
    }
    check_output(layer, input, residual, output)?;
    if layer.zero_point != input.zero_point {
        return Err(format!("zero point {}, but that of the input is {}", layer.zero_point, input.zero_point));
    }
    if residual.is_some_and(|residual| residual.zero_point != 0) {
        return Err("the residual has a zero point".to_owned());
    }
    let operand = |code: i32| i64::from(code) + i64::from(layer.input_offset);
    if operand(input.min_code()) < -0x8000 || operand(input.max_code()) > 0xFFFF {
        return Err(format!("input offset {} does not keep operands within 16 bits", layer.input_offset));
    }
    match layer.accumulator_bound(input, residual) {
        bound if bound < ACCUMULATOR_LIMIT => Ok(()),
        bound => Err(format!("an accumulator may reach {bound}, beyond 2^62")),
    }
}

fn check_output(
    layer: &MacLayer,
    input: &Encoding,
    residual: Option<&Encoding>,
    output: &ValueKind,
) -> Result<(), String> {
    let positive = |scale: &f64| *scale > 0.0 && scale.is_finite();
    match (output, &layer.output) {
        (ValueKind::Codes(encoding), MacOutput::Codes(requantizers)) => {
            if let Activation::Clamp { min, max } = layer.activation {
                clamp_within(min, max, encoding)?;
            }
            let is_narrow = |k: &usize| requantizers[if requantizers.len() == 1 { 0 } else { *k }].is_narrow();
            for k in (0..layer.weight_shape[0]).filter(is_narrow) {
                let bound = layer.channel_bound(k, input, residual);
                if bound > i128::from(i32::MAX) {
                    return Err(format!("accumulators of output channel {k} may reach {bound}, beyond 32 bits"));
                }
            }
            Ok(())
        }
        (ValueKind::Real, _) if matches!(layer.activation, Activation::Clamp { .. }) => {
            Err("a real output has a clamp of codes".to_owned())
        }
        (ValueKind::Real, MacOutput::Real(scales)) if !scales.iter().all(positive) => {
            Err("an output scale is not positive".to_owned())
        }
        (ValueKind::Real, MacOutput::Real(_) | MacOutput::RealSingle(_)) => Ok(()),
        (ValueKind::Real, MacOutput::Codes(_))
        | (ValueKind::Codes(_), MacOutput::Real(_) | MacOutput::RealSingle(_)) => {
            Err("the layer and its output value disagree on codes or reals".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use skimp_numerics::{Requantization, Requantizer};

    use super::check;
    use crate::{
        DType, Dim, GraphInput, Tensor, ValueId, Window,
        integer::{
            Activation, Encoding, IntegerEngine, IntegerGraph, IntegerNode, IntegerOp, IntegerReference, IntegerValue,
            MacLayer, MacLayout, MacOutput, Quotient, ValueKind,
        },
    };

    /// `x → Quantize → dense layer of 2 inputs and 1 output`, with a ReLU, by hand.
    fn graph() -> IntegerGraph {
        let layer = MacLayer {
            layout: MacLayout::Rows,
            zero_point: 0,
            input_offset: 0,
            window: Window::pointwise(2),
            groups: 1,
            weight_shape: [1, 2, 1, 1],
            weight: [3, -5].into(),
            weight_bits: 4,
            weight_scales: vec![0.25],
            bias: vec![7],
            residual: None,
            activation: Activation::Relu,
            output: MacOutput::Codes(vec![Requantizer::new(Requantization::Exact, 0.5).unwrap()]),
        };
        let codes = |scale| ValueKind::Codes(Encoding::symmetric(8, false, scale));
        let value = |name: &str, kind| IntegerValue { name: name.to_owned(), kind };
        let node = |name: &str, op, input, output| IntegerNode {
            name: name.to_owned(),
            op,
            inputs: vec![ValueId(input)],
            outputs: vec![ValueId(output)],
        };
        IntegerGraph {
            name: "small".to_owned(),
            rounding: Requantization::Exact,
            inputs: vec![GraphInput {
                value: ValueId(0),
                dtype: DType::F32,
                dims: vec![Dim::Free("N".to_owned()), Dim::Fixed(2)],
            }],
            outputs: vec![ValueId(3)],
            values: vec![
                value("x", ValueKind::Real),
                value("x", codes(0.5)),
                value("y", codes(0.25)),
                value("y", ValueKind::Real),
            ],
            nodes: vec![
                node("quantize", IntegerOp::Quantize(Quotient::Double), 0, 1),
                node("dense", IntegerOp::Mac(Box::new(layer)), 1, 2),
                node("dequantize", IntegerOp::Dequantize, 2, 3),
            ],
        }
    }

    #[test]
    fn interprets_by_hand() {
        let graph = graph();
        let reference = IntegerReference::new(&graph).unwrap();
        // Codes (2, 1): halves round to even. 7 + 6 - 5 = 8, halved 4. Codes (0, 2): 7 - 10 < 0.
        // Codes (2, 4) and (255, 0): 7 + 6 - 20 < 0; 7 + 765 = 772, halved 386, saturated to 255.
        let input = vec![1.25, 0.5, -3.0, 1.0, 0.75, 1.75, f32::INFINITY, 0.25];
        let output = reference.run(&[Tensor::from_f32(vec![4, 2], input)]).unwrap();
        assert_eq!(output[0].as_f32().unwrap(), [1.0, 0.0, 0.0, 63.75]);
        let nan = Tensor::from_f32(vec![1, 2], vec![0.0, f32::NAN]);
        assert!(reference.run(&[nan]).unwrap_err().to_string().contains("NaN"));
        assert!(reference.run(&[Tensor::from_f32(vec![1, 3], vec![0.0; 3])]).is_err());
        assert!(reference.run(&[]).is_err());
    }

    fn layer(graph: &mut IntegerGraph) -> &mut MacLayer {
        match &mut graph.nodes[1].op {
            IntegerOp::Mac(layer) => layer,
            _ => unreachable!("node 1 is the layer"),
        }
    }

    #[test]
    fn every_broken_rule_is_reported() {
        type Break = fn(&mut IntegerGraph);
        let cases: [(&str, Break); 17] = [
            ("±7", |g| layer(g).weight = [-8, -5].into()),
            ("weights", |g| layer(g).weight = [3, -5, 0].into()),
            ("biases", |g| layer(g).bias.clear()),
            ("2^62", |g| layer(g).bias[0] = i64::MAX),
            ("weight bits", |g| layer(g).weight_bits = 17),
            ("groups", |g| layer(g).groups = 0),
            ("weight scale", |g| layer(g).weight_scales[0] = f64::NAN),
            ("offset", |g| layer(g).input_offset = 0x1_0000),
            ("zero point", |g| layer(g).zero_point = 3),
            ("zero point 256", |g| {
                g.values[1].kind = ValueKind::Codes(Encoding { zero_point: 256, ..Encoding::symmetric(8, false, 0.5) });
            }),
            ("beyond 32 bits", |g| {
                layer(g).output = MacOutput::Codes(vec![Requantizer::new(Requantization::Single, 0.5).unwrap()]);
                layer(g).bias[0] = i64::from(i32::MAX);
            }),
            ("clamps", |g| layer(g).activation = Activation::Clamp { min: -1, max: 5 }),
            ("codes or reals", |g| layer(g).output = MacOutput::Real(vec![1.0])),
            ("scale", |g| g.values[1].kind = ValueKind::Codes(Encoding::symmetric(8, false, 0.0))),
            ("before", |g| g.nodes.swap(0, 1)),
            ("does not exist", |g| g.outputs[0] = ValueId(9)),
            ("not a real value", |g| g.outputs[0] = ValueId(2)),
        ];
        assert!(check(&graph()).is_ok());
        for (message, break_rule) in cases {
            let mut graph = graph();
            break_rule(&mut graph);
            let error = check(&graph).unwrap_err().to_string();
            assert!(error.contains(message), "expected \"{message}\" in \"{error}\"");
        }
    }
}
