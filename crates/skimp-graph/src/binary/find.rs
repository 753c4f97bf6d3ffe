//! Which values are bits, and which nodes are layers on them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::chain;
use super::steps::{self, Steps};
use super::{Alphabet, BinaryLayout, BitPadding, EventLayer, Step};
use crate::ops::{Neuron, STATE};
use crate::shape::Shapes;
use crate::{AutoPad, DType, Graph, Node, Op, PadMode, Tensor, ValueId, Window};

/// What there is in a graph.
#[derive(Debug)]
pub(super) struct Found {
    /// What the bits of a value are, if it is two-valued.
    pub(super) alphabets: Vec<Option<Alphabet>>,
    /// The step that makes the bits, if one does, and of which value.
    pub(super) steps: Vec<Option<(ValueId, Step)>>,
    /// For each node that multiplies, the layer on bits, or why it is none.
    pub(super) macs: Vec<Option<Result<Mac, String>>>,
    /// For each node that multiplies spikes by real numbers, the layer and its input.
    pub(super) events: Vec<Option<(ValueId, EventLayer)>>,
    /// Signs of sums that may be 0: they have three values.
    three_valued: BTreeSet<ValueId>,
    /// Bits that are spikes of neurons over time.
    spikes: BTreeSet<ValueId>,
}

/// A layer on bits without what becomes of its sums.
#[derive(Clone, Debug)]
pub(super) struct Mac {
    pub(super) input: ValueId,
    pub(super) alphabet: Alphabet,
    pub(super) layout: BinaryLayout,
    pub(super) window: Window,
    pub(super) padding: BitPadding,
    pub(super) weight_shape: [usize; 4],
    pub(super) weight: Arc<[i8]>,
    pub(super) scales: Vec<f64>,
    pub(super) bias: Vec<f64>,
}

impl Found {
    pub(super) fn of(graph: &Graph, shapes: &Shapes) -> Self {
        let n = graph.values().len();
        let mut found = Self {
            alphabets: vec![None; n],
            steps: vec![None; n],
            macs: vec![None; graph.nodes().len()],
            events: vec![None; graph.nodes().len()],
            three_valued: BTreeSet::new(),
            spikes: BTreeSet::new(),
        };
        let steps = steps::find(graph, shapes);
        let producers = graph.producers();
        for (idx, node) in graph.nodes().iter().enumerate() {
            match node.op {
                Op::Conv(_) | Op::Gemm(_) | Op::MatMul => {
                    let form = found.form(graph, shapes, &producers, node);
                    found.events[idx] = form.as_ref().ok().and_then(|form| found.event(form));
                    found.macs[idx] = Some(form.and_then(|form| form.mac()));
                }
                Op::Neuron(neuron) => found.neuron(graph, node, &neuron),
                _ => found.bits(graph, shapes, &producers, node, &steps),
            }
        }
        found
    }

    fn bits(
        &mut self,
        graph: &Graph,
        shapes: &Shapes,
        producers: &[Option<usize>],
        node: &Node,
        steps: &[Option<Steps>],
    ) {
        let &[output] = node.outputs.as_slice() else { return };
        if node.inputs.first().copied().flatten().is_some_and(|input| self.spikes.contains(&input)) && moves(&node.op) {
            self.spikes.insert(output);
        }
        if let Some(step) = &steps[output.0] {
            let is_f32 = shapes.get(step.source).is_some_and(|source| source.dtype == DType::F32);
            if let Some((alphabet, bits)) =
                step.numbers().filter(|_| is_f32).and_then(|x| two_valued(step.threshold, x))
            {
                let chain = chain::behind_layer(graph, shapes, producers, self, step.source);
                let mac = |idx: usize| self.macs[idx].as_ref().and_then(|mac| mac.as_ref().ok());
                let layer = chain.as_ref().and_then(|chain| Some((chain, mac(chain.mac_idx)?)));
                if layer.is_some_and(|(chain, mac)| chain.has_third_value(graph, mac, bits)) {
                    self.three_valued.insert(output);
                } else {
                    self.alphabets[output.0] = Some(alphabet);
                    self.steps[output.0] = Some((step.source, bits));
                }
            }
            return;
        }
        let is_pool = matches!(node.op, Op::MaxPool(_));
        if is_pool && node.inputs.first().copied().flatten().is_some_and(|input| self.spikes.contains(&input)) {
            self.spikes.insert(output);
        }
        let hands_on = moves(&node.op) || (matches!(node.op, Op::MaxPool(_)) && shapes.shape(output).len() == 4);
        if let (true, Some(&Some(input))) = (hands_on, node.inputs.first()) {
            self.alphabets[output.0] = self.alphabets[input.0];
            if self.three_valued.contains(&input) {
                self.three_valued.insert(output);
            }
        }
    }

    /// The bits behind a value that perhaps is padded: its source, the pads of the spatial axes, and what they hold.
    fn padded_bits(
        &self,
        graph: &Graph,
        producers: &[Option<usize>],
        value: ValueId,
    ) -> Result<(ValueId, Alphabet, Option<Pads>), String> {
        if let Some(alphabet) = self.alphabets[value.0] {
            return Ok((value, alphabet, None));
        }
        let third =
            "its input is the Sign of sums that may be 0, a third value beside -1 and 1 (export Where(x >= 0, 1, -1))";
        let real = || if self.three_valued.contains(&value) { third } else { "its input has more than two values" };
        let real = || real().to_owned();
        let node = producers[value.0].map(|idx| &graph.nodes()[idx]).ok_or_else(real)?;
        let (Op::Pad(pad), Some(&Some(source))) = (&node.op, node.inputs.first()) else { return Err(real()) };
        let alphabet = self.alphabets[source.0].ok_or_else(real)?;
        let spatial = |pads: &[i64]| -> Option<Vec<usize>> {
            let [0, 0, pads @ ..] = pads else { return None };
            pads.iter().map(|&pad| usize::try_from(pad).ok()).collect()
        };
        let (Some(begin), Some(end)) = (spatial(&pad.begin), spatial(&pad.end)) else {
            return Err("the padding of its input is not that of height and width".to_owned());
        };
        if pad.mode != PadMode::Constant {
            return Err("its input is padded with what is there".to_owned());
        }
        let same = |bit: bool| pad.value.to_bits() == alphabet.value(bit).to_bits();
        let padding = if pad.value.abs() < f32::MIN_POSITIVE {
            BitPadding::Zero
        } else if same(true) || same(false) {
            BitPadding::Bit(same(true))
        } else {
            return Err(format!("its input is padded with {}, which no bit is", pad.value));
        };
        Ok((source, alphabet, Some(Pads { begin, end, padding })))
    }

    /// A neuron over time fires or does not; one that tells a value by its time gives that value.
    fn neuron(&mut self, graph: &Graph, node: &Node, neuron: &Neuron) {
        let parameters = node.inputs.iter().take(STATE).skip(1).flatten();
        let all_known = parameters.into_iter().all(|id| graph.constant(*id).is_some());
        if let (Some(&output), None, true) = (node.outputs.first(), neuron.first_spike, all_known) {
            self.alphabets[output.0] = Some(Alphabet { is_signed: false, scale: 1.0 });
            self.spikes.insert(output);
        }
    }

    fn form<'g>(
        &self,
        graph: &'g Graph,
        shapes: &Shapes,
        producers: &[Option<usize>],
        node: &Node,
    ) -> Result<Form<'g>, String> {
        let operand = |idx: usize| node.inputs.get(idx).copied().flatten();
        let input = operand(0).ok_or("it has no input")?;
        let weight = operand(1).and_then(|id| graph.constant(id)).ok_or("its weight is computed")?;
        let bias = operand(2).map(|id| graph.constant(id).ok_or("its bias is computed")).transpose()?;
        let (source, alphabet, pads) = self.padded_bits(graph, producers, input)?;
        let (window, layout, outputs_first, factor, beta) = match &node.op {
            Op::Conv(conv) => {
                if conv.groups != 1 {
                    return Err(format!("it has {} groups", conv.groups));
                }
                if conv.window.kernel.len() != 2 {
                    return Err(format!("it has {} spatial axes", conv.window.kernel.len()));
                }
                (conv.window.clone(), BinaryLayout::Planes, true, 1.0, 1.0)
            }
            Op::Gemm(gemm) if !gemm.trans_a => {
                (Window::pointwise(2), BinaryLayout::Rows, gemm.trans_b, gemm.alpha, gemm.beta)
            }
            Op::MatMul if shapes.shape(input).len() == 2 && weight.shape().len() == 2 => {
                (Window::pointwise(2), BinaryLayout::Rows, false, 1.0, 1.0)
            }
            _ => return Err("it is no product of rows with a matrix".to_owned()),
        };
        let (window, padding) = joined(window, pads)?;
        // 0 is what a neuron gives that does not fire.
        let padding = if alphabet.is_signed || padding != BitPadding::Zero { padding } else { BitPadding::Bit(false) };
        let weight_shape = match *weight.shape() {
            [k, c, r, s] => [k, c, r, s],
            [k, c] if outputs_first => [k, c, 1, 1],
            [c, k] => [k, c, 1, 1],
            _ => return Err(format!("its weight has {} axes", weight.shape().len())),
        };
        let unit = f64::from(factor) * f64::from(alphabet.scale);
        if !(unit.is_finite() && unit > 0.0) {
            return Err(format!("its factor is {factor}"));
        }
        let bias = match bias {
            None => vec![0.0; weight_shape[0]],
            Some(bias) => {
                per_filter(bias, weight_shape[0], beta).ok_or("its bias is not one number for each filter")?
            }
        };
        Ok(Form { source, alphabet, layout, window, padding, weight, weight_shape, outputs_first, unit, bias })
    }

    /// The layer of real weights on spikes of neurons over time.
    fn event(&self, form: &Form<'_>) -> Option<(ValueId, EventLayer)> {
        let is_plain = form.padding == BitPadding::Bit(false) && !form.alphabet.is_signed;
        let data = form.weight.as_f32().filter(|_| is_plain && self.spikes.contains(&form.source))?;
        let [k, c, r, s] = form.weight_shape;
        let n = c * r * s;
        let weight =
            if form.outputs_first { data.into() } else { (0..k * n).map(|at| data[at % n * k + at / n]).collect() };
        let (layout, window, bias) = (form.layout, form.window.clone(), form.bias.clone());
        let layer = EventLayer { layout, window, weight_shape: form.weight_shape, weight, unit: form.unit, bias };
        Some((form.source, layer))
    }
}

/// A layer on bits, whatever its weights are.
struct Form<'g> {
    source: ValueId,
    alphabet: Alphabet,
    layout: BinaryLayout,
    window: Window,
    padding: BitPadding,
    weight: &'g Tensor,
    weight_shape: [usize; 4],
    outputs_first: bool,
    unit: f64,
    bias: Vec<f64>,
}

impl Form<'_> {
    /// With weights of one magnitude in each filter.
    fn mac(self) -> Result<Mac, String> {
        let Self { source, alphabet, layout, window, padding, weight, weight_shape, outputs_first, unit, bias } = self;
        let (signs, magnitudes) = signs(weight, weight_shape, outputs_first)?;
        let scales = magnitudes.iter().map(|&magnitude| unit * f64::from(magnitude)).collect();
        Ok(Mac { input: source, alphabet, layout, window, padding, weight_shape, weight: signs, scales, bias })
    }
}

/// Padding that stands in front of a layer.
struct Pads {
    begin: Vec<usize>,
    end: Vec<usize>,
    padding: BitPadding,
}

/// A window with the padding in front of it, and what it holds.
fn joined(mut window: Window, pads: Option<Pads>) -> Result<(Window, BitPadding), String> {
    let Some(pads) = pads else { return Ok((window, BitPadding::Zero)) };
    let own = |window: &Window| window.pads_begin.iter().chain(&window.pads_end).any(|&pad| pad > 0);
    let has_own = matches!(window.auto_pad, AutoPad::SameUpper | AutoPad::SameLower) || own(&window);
    if has_own && (pads.padding != BitPadding::Zero || window.auto_pad != AutoPad::NotSet) {
        return Err("it is padded twice, with different numbers".to_owned());
    }
    window.auto_pad = AutoPad::NotSet;
    for (axis, (begin, end)) in pads.begin.iter().zip(&pads.end).enumerate() {
        window.pads_begin[axis] += begin;
        window.pads_end[axis] += end;
    }
    Ok((window, pads.padding))
}

/// Signs and the magnitude of each filter, filters first.
fn signs(weight: &Tensor, [k, c, r, s]: [usize; 4], outputs_first: bool) -> Result<(Arc<[i8]>, Vec<f32>), String> {
    let data = weight.as_f32().ok_or_else(|| format!("its weight is of type {}", weight.dtype()))?;
    let n = c * r * s;
    let at = |filter: usize, idx: usize| if outputs_first { data[filter * n + idx] } else { data[idx * k + filter] };
    let (mut signs, mut magnitudes) = (Vec::with_capacity(data.len()), Vec::with_capacity(k));
    for filter in 0..k {
        let magnitude = if n == 0 { 1.0 } else { at(filter, 0).abs() };
        if !(magnitude.is_finite() && magnitude > 0.0) {
            return Err("its weights are not of one magnitude in each filter".to_owned());
        }
        for idx in 0..n {
            let weight = at(filter, idx);
            if weight.abs().to_bits() != magnitude.to_bits() {
                return Err("its weights are not of one magnitude in each filter".to_owned());
            }
            signs.push(if weight > 0.0 { 1 } else { -1 });
        }
        magnitudes.push(magnitude);
    }
    Ok((signs.into(), magnitudes))
}

/// A bias as one number for each filter.
fn per_filter(bias: &Tensor, k: usize, factor: f32) -> Option<Vec<f64>> {
    let data = bias.as_f32()?;
    let scaled = |x: &f32| f64::from(factor) * f64::from(*x);
    match *bias.shape() {
        [] | [1] | [1, 1] => Some(vec![scaled(data.first()?); k]),
        [n] | [1, n] if n == k => Some(data.iter().map(scaled).collect()),
        _ => None,
    }
}

/// The alphabet of a step's numbers, and its bits.
fn two_valued(threshold: f32, [below, at, above]: [f32; 3]) -> Option<(Alphabet, Step)> {
    let (low, high) = (below.min(above), below.max(above));
    let is_signed = low.to_bits() == (-high).to_bits();
    let is_spike = low.abs() < f32::MIN_POSITIVE;
    if !(high.is_finite() && high > 0.0 && (is_signed || is_spike)) {
        return None;
    }
    let bit = |x: f32| {
        let is_same = |other: f32| (x - other).abs() < f32::MIN_POSITIVE;
        if is_same(high) { Some(true) } else { is_same(low).then_some(false) }
    };
    let step = Step { threshold, below: bit(below)?, at: bit(at) };
    Some((Alphabet { is_signed, scale: high }, step))
}

/// Whether an operator only renames or reorders axes.
pub(super) fn moves(op: &Op) -> bool {
    matches!(op, Op::Flatten(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Identity)
}
