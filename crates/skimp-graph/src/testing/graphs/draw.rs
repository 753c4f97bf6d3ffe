//! One random node of each kind.

use skimp_numerics::rng::Draws;

use super::{Generator, Operand};
use crate::{AutoPad, DType, Data, Gemm, Op, Pad, PadMode, Slice, Tensor, Window};

/// How exactly an operator computes on small multiples of a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// Without rounding.
    Exact,
    /// With rounding.
    Rounds,
    /// Without rounding, but a small change of an input may make a large one of the output.
    Jumps,
    /// With rounding, and a small change of an input may make a large one of the output.
    RoundsAndJumps,
}

pub(super) fn rounding(op: &Op) -> Rounding {
    match op {
        Op::Sign | Op::QuantizeLinear { .. } | Op::DequantizeLinear { .. } => Rounding::Jumps,
        Op::Cast { to } => {
            if to.is_float() {
                Rounding::Exact
            } else {
                Rounding::Jumps
            }
        }
        Op::Div => Rounding::RoundsAndJumps,
        Op::BatchNormalization { .. }
        | Op::Sigmoid
        | Op::HardSigmoid { .. }
        | Op::HardSwish
        | Op::Tanh
        | Op::Softmax { .. }
        | Op::AveragePool { .. }
        | Op::GlobalAveragePool
        | Op::ReduceMean { .. }
        | Op::Lrn { .. } => Rounding::Rounds,
        Op::Conv { .. }
        | Op::Gemm(_)
        | Op::MatMul
        | Op::Relu
        | Op::LeakyRelu { .. }
        | Op::PRelu
        | Op::Clip { .. }
        | Op::Add
        | Op::Sub
        | Op::Mul
        | Op::Concat { .. }
        | Op::Split { .. }
        | Op::Slice(_)
        | Op::Pad(_)
        | Op::MaxPool(_)
        | Op::GlobalMaxPool
        | Op::Flatten { .. }
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Squeeze { .. }
        | Op::Unsqueeze { .. }
        | Op::Dropout { .. }
        | Op::Identity => Rounding::Exact,
    }
}

/// Every operator once; the attributes are drawn.
fn prototypes() -> [Op; 38] {
    let window = || Window {
        kernel: Vec::new(),
        strides: Vec::new(),
        dilations: Vec::new(),
        pads_begin: Vec::new(),
        pads_end: Vec::new(),
        auto_pad: AutoPad::NotSet,
        ceil_mode: false,
    };
    [
        Op::Conv { window: window(), groups: 1 },
        Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false }),
        Op::MatMul,
        Op::BatchNormalization { epsilon: 1e-5 },
        Op::Relu,
        Op::LeakyRelu { alpha: 0.125 },
        Op::PRelu,
        Op::Clip { min: None, max: None },
        Op::Sigmoid,
        Op::HardSigmoid { alpha: 0.25, beta: 0.5 },
        Op::HardSwish,
        Op::Tanh,
        Op::Sign,
        Op::Softmax { axis: 0 },
        Op::Add,
        Op::Sub,
        Op::Mul,
        Op::Div,
        Op::Concat { axis: 0 },
        Op::Split { axis: 0, sizes: Vec::new() },
        Op::Slice(Slice { axes: Vec::new(), starts: Vec::new(), ends: Vec::new(), steps: Vec::new() }),
        Op::Pad(Pad { begin: Vec::new(), end: Vec::new(), mode: PadMode::Constant, value: 0.0 }),
        Op::MaxPool(window()),
        Op::AveragePool { window: window(), count_include_pad: false },
        Op::GlobalAveragePool,
        Op::GlobalMaxPool,
        Op::ReduceMean { axes: Vec::new(), keep_dims: false },
        Op::Flatten { axis: 1 },
        Op::Reshape { shape: Vec::new(), allow_zero: false },
        Op::Transpose { perm: Vec::new() },
        Op::Squeeze { axes: Vec::new() },
        Op::Unsqueeze { axes: Vec::new() },
        Op::Lrn { size: 1, alpha: 0.5, beta: 0.75, bias: 1.0 },
        Op::Dropout { ratio: 0.5 },
        Op::Identity,
        Op::Cast { to: DType::F32 },
        Op::QuantizeLinear { axis: 1 },
        Op::DequantizeLinear { axis: 1 },
    ]
}

impl Generator {
    /// Draws a node, or a few that belong together; returns how many there are.
    pub(super) fn draw_node(&mut self) -> usize {
        let x = self.pick();
        if self.draws.chance(0.12) {
            return self.conv_chain(x);
        }
        if self.draws.chance(0.05) {
            return self.shuffle(x);
        }
        let prototypes = prototypes();
        let prototype = prototypes[self.draws.below(prototypes.len())].clone();
        usize::from(self.one(prototype, x).is_some())
    }

    /// A value, the newest ones more often.
    fn pick(&mut self) -> usize {
        let n = self.known.len();
        if self.draws.chance(0.7) { n - 1 - self.draws.below(n.min(2)) } else { self.draws.below(n) }
    }

    fn shape(&self, x: usize) -> Vec<usize> {
        self.known[x].tensor.shape().to_vec()
    }

    /// A node of this kind on `x`.
    fn one(&mut self, prototype: Op, x: usize) -> Option<Vec<usize>> {
        let shape = self.shape(x);
        let rank = shape.len();
        let op = match prototype {
            Op::Conv { .. } => return self.conv(x),
            Op::Gemm(_) => return self.gemm(x),
            Op::MatMul => return self.matmul(x),
            Op::BatchNormalization { epsilon } => {
                let channels = *shape.get(1)?;
                let part = |from: f32, generator: &mut Self| {
                    let numbers = (0..channels).map(|_| from + generator.draws.uniform(0.0, 1.0)).collect();
                    Operand::Constant(Tensor::from_f32(vec![channels], numbers))
                };
                let parts = [0.5, -0.5, -0.5, 0.5].map(|from| part(from, self));
                let operands = std::iter::once(Operand::Known(x)).chain(parts).collect();
                return self.try_node(Op::BatchNormalization { epsilon }, operands);
            }
            op @ (Op::Relu
            | Op::LeakyRelu { .. }
            | Op::Sigmoid
            | Op::HardSigmoid { .. }
            | Op::HardSwish
            | Op::Tanh
            | Op::Sign
            | Op::GlobalAveragePool
            | Op::GlobalMaxPool
            | Op::Dropout { .. }
            | Op::Identity) => op,
            Op::PRelu => {
                let slopes = self.broadcastable(&shape, false);
                let n: usize = slopes.iter().product();
                let numbers = (0..n).map(|_| [0.25, 0.5, 2.0][self.draws.below(3)]).collect();
                let slopes = Tensor::from_f32(slopes, numbers);
                return self.try_node(Op::PRelu, vec![Operand::Known(x), Operand::Constant(slopes)]);
            }
            Op::Clip { .. } => Op::Clip {
                min: self.draws.chance(0.7).then_some([-2.0, 0.0, 0.5][self.draws.below(3)]),
                max: self.draws.chance(0.7).then_some([1.0, 6.0][self.draws.below(2)]),
            },
            Op::Softmax { .. } => Op::Softmax { axis: self.axis(rank)? },
            op @ (Op::Add | Op::Sub | Op::Mul | Op::Div) => return self.binary(op, x),
            Op::Concat { .. } => return self.concat(x),
            Op::Split { .. } => {
                let axis = self.axis(rank)?;
                let extent = shape[axis.rem_euclid(rank as i64) as usize];
                let first = self.draws.between(1, extent.max(2) - 1).min(extent);
                let mut sizes = vec![first, extent - first];
                if self.draws.chance(0.3) && sizes[1] > 1 {
                    let last = self.draws.between(1, sizes[1] - 1);
                    sizes[1] -= last;
                    sizes.push(last);
                }
                sizes.retain(|&size| size > 0);
                Op::Split { axis, sizes }
            }
            Op::Slice(_) => self.slice(&shape)?,
            Op::Pad(_) => self.pad(&shape),
            Op::MaxPool(_) => Op::MaxPool(self.window(&shape, true)?),
            Op::AveragePool { .. } => {
                Op::AveragePool { window: self.window(&shape, true)?, count_include_pad: self.draws.chance(0.5) }
            }
            Op::ReduceMean { .. } => {
                let axes =
                    if self.draws.chance(0.3) && rank > 2 { (2..rank as i64).collect() } else { self.axes(rank, 0.5) };
                Op::ReduceMean { axes, keep_dims: self.draws.chance(0.5) }
            }
            Op::Flatten { .. } => Op::Flatten { axis: self.draws.between(0, 2 * rank) as i64 - rank as i64 },
            Op::Reshape { .. } => self.reshape(&shape),
            Op::Transpose { .. } => Op::Transpose { perm: self.permutation(rank) },
            Op::Squeeze { .. } => {
                let ones: Vec<i64> = (0..rank).filter(|&axis| shape[axis] == 1).map(|axis| axis as i64).collect();
                let axes = ones.into_iter().filter(|_| self.draws.chance(0.7)).collect();
                Op::Squeeze { axes }
            }
            Op::Unsqueeze { .. } => {
                let n = self.draws.between(1, 2);
                let rank = rank + n;
                let mut axes: Vec<i64> = self.permutation(rank)[..n].iter().map(|&axis| axis as i64).collect();
                axes.iter_mut().for_each(|axis| *axis -= if self.draws.chance(0.3) { rank as i64 } else { 0 });
                Op::Unsqueeze { axes }
            }
            Op::Lrn { alpha, beta, bias, .. } => Op::Lrn { size: self.draws.between(1, 5), alpha, beta, bias },
            Op::Cast { .. } => {
                let types = [DType::F32, DType::F64, DType::I64, DType::I32, DType::I8, DType::U8, DType::Bool];
                let all = if self.known[x].tensor.dtype() == DType::F32 { types.len() } else { 1 };
                Op::Cast { to: types[self.draws.below(all)] }
            }
            op @ (Op::QuantizeLinear { .. } | Op::DequantizeLinear { .. }) => {
                let scale = Tensor::from_f32(Vec::new(), vec![[0.5, 1.0, 2.0][self.draws.below(3)]]);
                let is_i8 = self.draws.chance(0.5);
                let zero: Data = match (&op, self.known[x].tensor.dtype()) {
                    (Op::DequantizeLinear { .. }, DType::I32) => vec![0_i32].into(),
                    (Op::DequantizeLinear { .. }, DType::I8) => vec![-3_i8].into(),
                    (Op::QuantizeLinear { .. }, _) if is_i8 => vec![-3_i8].into(),
                    _ => vec![7_u8].into(),
                };
                let zero = Tensor::new(Vec::new(), zero)?;
                return self.try_node(op, vec![Operand::Known(x), Operand::Constant(scale), Operand::Constant(zero)]);
            }
        };
        self.try_node(op, vec![Operand::Known(x)])
    }

    /// An axis of `rank`, from either end.
    fn axis(&mut self, rank: usize) -> Option<i64> {
        (rank > 0).then(|| self.draws.below(2 * rank) as i64 - rank as i64)
    }

    /// Some of the axes.
    fn axes(&mut self, rank: usize, share: f64) -> Vec<i64> {
        (0..rank as i64).filter(|_| self.draws.chance(share)).collect()
    }

    fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut permutation: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            permutation.swap(i, self.draws.below(i + 1));
        }
        permutation
    }

    /// A shape that broadcasts with `shape`; `wider` ones may have extents where `shape` has 1, or more axes.
    fn broadcastable(&mut self, shape: &[usize], wider: bool) -> Vec<usize> {
        let rank = shape.len();
        if rank > 1 && self.draws.chance(0.3) {
            // One parameter for each channel.
            let mut per_channel = vec![1; rank - 1];
            per_channel[0] = shape[1];
            return per_channel;
        }
        let mut other: Vec<usize> = shape.iter().map(|&n| if self.draws.chance(0.5) { n } else { 1 }).collect();
        other.drain(..self.draws.below(rank + 1));
        if wider && self.draws.chance(0.15) {
            other.iter_mut().filter(|n| **n == 1).for_each(|n| *n = self.draws.between(1, 3));
        }
        if wider && other.len() == rank && self.draws.chance(0.15) {
            other.insert(0, self.draws.between(1, 2));
        }
        other
    }

    fn binary(&mut self, op: Op, x: usize) -> Option<Vec<usize>> {
        let shape = self.shape(x);
        let divides = matches!(op, Op::Div);
        let other = if self.draws.chance(0.5) {
            let other = self.broadcastable(&shape, true);
            let n: usize = other.iter().product();
            let numbers = if divides {
                (0..n).map(|_| [-2.0, -0.5, 0.5, 1.0, 4.0][self.draws.below(5)]).collect()
            } else {
                (0..n).map(|_| self.draws.between(0, 4) as f32 - 2.0).collect()
            };
            Operand::Constant(Tensor::from_f32(other, numbers))
        } else {
            Operand::Known(self.draws.below(self.known.len()))
        };
        let mut operands = vec![Operand::Known(x), other];
        if self.draws.chance(0.3) {
            operands.reverse();
        }
        let divisor = match &operands[1] {
            Operand::Known(idx) => &self.known[*idx].tensor,
            Operand::Constant(tensor) => tensor,
        };
        let near_zero = |x: &f32| x.abs() < 0.25;
        if divides && divisor.as_f32().is_some_and(|elements| elements.iter().any(near_zero)) {
            return None;
        }
        self.try_node(op, operands)
    }

    fn concat(&mut self, x: usize) -> Option<Vec<usize>> {
        let shape = self.shape(x);
        let axis = self.axis(shape.len())?;
        let axis = if shape.len() > 1 && self.draws.chance(0.5) { 1 } else { axis };
        let at = axis.rem_euclid(shape.len() as i64) as usize;
        let fits =
            |other: &[usize]| other.len() == shape.len() && (0..shape.len()).all(|i| i == at || other[i] == shape[i]);
        let others: Vec<usize> = (0..self.known.len()).filter(|&idx| fits(self.known[idx].tensor.shape())).collect();
        let mut operands = vec![Operand::Known(x)];
        for _ in 0..self.draws.between(1, 2) {
            if self.draws.chance(0.2) {
                let mut shape = shape.clone();
                shape[at] = self.draws.between(1, 3);
                operands.push(Operand::Constant(self.numbers(shape)));
            } else {
                operands.push(Operand::Known(others[self.draws.below(others.len())]));
            }
        }
        let turn = self.draws.below(operands.len());
        operands.rotate_left(turn);
        self.try_node(Op::Concat { axis }, operands)
    }

    fn slice(&mut self, shape: &[usize]) -> Option<Op> {
        let axes = self.axes(shape.len(), 0.4);
        let mut slice = Slice { axes: Vec::new(), starts: Vec::new(), ends: Vec::new(), steps: Vec::new() };
        for axis in axes {
            let n = shape[usize::try_from(axis).ok()?] as i64;
            let step = [1, 1, 2, -1][self.draws.below(4)];
            let (low, high) = (self.draws.between(0, n as usize / 2) as i64, n - self.draws.below(2) as i64);
            let (start, end) = if step > 0 { (low, high) } else { (high - 1, low - 1) };
            // Counted from the end, where that says the same.
            let wrap = self.draws.chance(0.3);
            slice.axes.push(if self.draws.chance(0.3) { axis - shape.len() as i64 } else { axis });
            slice.starts.push(if wrap && start < n && start >= 0 { start - n } else { start });
            slice.ends.push(match end {
                -1 => i64::MIN,
                end if end == n && wrap => i64::MAX,
                end => end,
            });
            slice.steps.push(step);
        }
        Some(Op::Slice(slice))
    }

    fn pad(&mut self, shape: &[usize]) -> Op {
        let mode = [PadMode::Constant, PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Wrap];
        let mut some = || -> Vec<i64> {
            let one = |draws: &mut Draws| match draws.below(8) {
                0 => -1,
                1 | 2 => 1,
                3 => 2,
                _ => 0,
            };
            shape
                .iter()
                .enumerate()
                .map(|(i, _)| if i == 0 && self.draws.chance(0.8) { 0 } else { one(&mut self.draws) })
                .collect()
        };
        let (begin, end) = (some(), some());
        let value = [0.0, 0.0, 1.0, -2.5][self.draws.below(4)];
        Op::Pad(Pad { begin, end, mode: mode[self.draws.below(5)], value })
    }

    fn window(&mut self, shape: &[usize], is_pool: bool) -> Option<Window> {
        let spatial = shape.get(2..).filter(|extents| !extents.is_empty())?;
        let same_kernel = self.draws.between(1, 3);
        let n = spatial.len();
        let kernel: Vec<usize> =
            (0..n).map(|_| if self.draws.chance(0.6) { same_kernel } else { self.draws.between(1, 4) }).collect();
        let some = |low: usize, draws: &mut Draws| -> Vec<usize> {
            (0..n).map(|_| if draws.chance(0.7) { low } else { low + 1 }).collect()
        };
        let auto_pad = match self.draws.below(10) {
            0 => AutoPad::SameUpper,
            1 => AutoPad::SameLower,
            2 => AutoPad::Valid,
            _ => AutoPad::NotSet,
        };
        let pads = |draws: &mut Draws| -> Vec<usize> {
            let pad = |&k: &usize| if draws.chance(0.5) { k / 2 } else { draws.between(0, k - 1) };
            if auto_pad == AutoPad::NotSet { kernel.iter().map(pad).collect() } else { vec![0; n] }
        };
        let (pads_begin, pads_end) = (pads(&mut self.draws), pads(&mut self.draws));
        let is_same = matches!(auto_pad, AutoPad::SameUpper | AutoPad::SameLower);
        let dilations = if is_same { vec![1; n] } else { some(1, &mut self.draws) };
        let strides = some(1, &mut self.draws);
        let ceil_mode = is_pool && self.draws.chance(0.4);
        Some(Window { kernel, strides, dilations, pads_begin, pads_end, auto_pad, ceil_mode })
    }

    fn conv(&mut self, x: usize) -> Option<Vec<usize>> {
        let shape = self.shape(x);
        let window = self.window(&shape, false)?;
        let channels = shape[1];
        if channels == 0 {
            return None;
        }
        let divisors: Vec<usize> = (1..=channels).filter(|g| channels.is_multiple_of(*g)).collect();
        let groups = match self.draws.below(4) {
            0 | 1 => 1,
            2 => channels,
            _ => divisors[self.draws.below(divisors.len())],
        };
        let per_group = if self.draws.chance(0.5) { 1 } else { self.draws.between(1, (36 / groups).max(1)) };
        let outputs = groups * per_group;
        let weight: Vec<usize> =
            [outputs, channels / groups].into_iter().chain(window.kernel.iter().copied()).collect();
        let n = weight.iter().product();
        let weight = Tensor::from_f32(weight, (0..n).map(|_| self.draws.between(0, 2) as f32 - 1.0).collect());
        let mut operands = vec![Operand::Known(x), Operand::Constant(weight)];
        if self.draws.chance(0.5) {
            operands.push(Operand::Constant(self.numbers(vec![outputs])));
        }
        self.try_node(Op::Conv { window, groups }, operands)
    }

    fn gemm(&mut self, x: usize) -> Option<Vec<usize>> {
        let &[rows, columns] = self.shape(x).as_slice() else { return None };
        let trans_a = self.draws.chance(0.15);
        let trans_b = self.draws.chance(0.5);
        let (m, k) = if trans_a { (columns, rows) } else { (rows, columns) };
        let n = self.draws.between(1, 20);
        let weight = if trans_b { vec![n, k] } else { vec![k, n] };
        let mut operands = vec![Operand::Known(x), Operand::Constant(self.numbers(weight))];
        if self.draws.chance(0.6) {
            let shape = [vec![n], vec![1, n], vec![1], Vec::new(), vec![m, n], vec![m, 1]][self.draws.below(6)].clone();
            operands.push(Operand::Constant(self.numbers(shape)));
        }
        let [alpha, beta] = [0, 0].map(|_| [1.0, 1.0, 0.5, 2.0][self.draws.below(4)]);
        self.try_node(Op::Gemm(Gemm { alpha, beta, trans_a, trans_b }), operands)
    }

    fn matmul(&mut self, x: usize) -> Option<Vec<usize>> {
        let shape = self.shape(x);
        let k = *shape.last()?;
        if shape.len() >= 2 && self.draws.chance(0.3) {
            // Times its own transpose, or what else fits.
            let mut perm: Vec<usize> = (0..shape.len()).collect();
            perm.swap(shape.len() - 1, shape.len() - 2);
            let turned = self.try_node(Op::Transpose { perm }, vec![Operand::Known(x)])?[0];
            return self.try_node(Op::MatMul, vec![Operand::Known(x), Operand::Known(turned)]);
        }
        let n = self.draws.between(1, 8);
        let mut other = match self.draws.below(4) {
            0 => vec![k],
            1 if shape.len() > 2 => {
                let mut other = shape[..shape.len() - 2].to_vec();
                other[0] = if self.draws.chance(0.5) { other[0] } else { 1 };
                other.extend([k, n]);
                other
            }
            _ => vec![k, n],
        };
        if self.draws.chance(0.1) {
            other.insert(0, 1);
        }
        let mut operands = vec![Operand::Known(x), Operand::Constant(self.numbers(other))];
        if self.draws.chance(0.1) {
            let rows = if shape.len() > 1 { shape[shape.len() - 2] } else { k };
            operands = vec![Operand::Constant(self.numbers(vec![n, rows])), Operand::Known(x)];
        }
        self.try_node(Op::MatMul, operands)
    }

    fn reshape(&mut self, shape: &[usize]) -> Op {
        let allow_zero = self.draws.chance(0.1);
        let keeps_batch = !shape.is_empty() && self.draws.chance(0.8);
        let n: usize = if keeps_batch { shape[1..].iter().product() } else { shape.iter().product() };
        let mut target = Vec::new();
        let mut inferred = false;
        if keeps_batch {
            target.push(match self.draws.below(3) {
                0 if !allow_zero => 0,
                1 => {
                    inferred = true;
                    -1
                }
                _ => shape[0] as i64,
            });
        }
        let mut left = n.max(1);
        for _ in 0..self.draws.below(4) {
            let divisors: Vec<usize> = (1..=left).filter(|d| left.is_multiple_of(*d)).collect();
            let divisor = divisors[self.draws.below(divisors.len())];
            let copies = !allow_zero && shape.get(target.len()) == Some(&divisor) && self.draws.chance(0.3);
            let source = shape.iter().position(|&extent| extent == divisor).filter(|_| self.draws.chance(0.1));
            target.push(match source {
                _ if copies => 0,
                Some(axis) => -2 - axis as i64,
                None => divisor as i64,
            });
            left /= divisor;
        }
        target.push(if !inferred && self.draws.chance(0.4) { -1 } else { left as i64 });
        Op::Reshape { shape: target, allow_zero }
    }

    /// A convolution with what engines fuse into it.
    fn conv_chain(&mut self, x: usize) -> usize {
        let Some(made) = self.conv(x) else { return 0 };
        let mut y = made[0];
        let mut n = 1;
        if self.draws.chance(0.5)
            && let Some(made) = self.one(Op::BatchNormalization { epsilon: 1e-5 }, y)
        {
            (y, n) = (made[0], n + 1);
        }
        if self.draws.chance(0.5) {
            let shape = self.shape(y);
            let others: Vec<usize> =
                (0..self.known.len()).filter(|&other| self.known[other].tensor.shape() == shape).collect();
            let other = others[self.draws.below(others.len())];
            let operands = if self.draws.chance(0.5) { [y, other] } else { [other, y] };
            if let Some(made) = self.try_node(Op::Add, operands.map(Operand::Known).into()) {
                (y, n) = (made[0], n + 1);
            }
        }
        if self.draws.chance(0.6) {
            let op = if self.draws.chance(0.7) { Op::Relu } else { Op::Clip { min: Some(-1.0), max: Some(6.0) } };
            n += usize::from(self.try_node(op, vec![Operand::Known(y)]).is_some());
        }
        n
    }

    /// A channel shuffle: Reshape, Transpose, Reshape.
    fn shuffle(&mut self, x: usize) -> usize {
        let shape = self.shape(x);
        let &[_, channels, ref spatial @ ..] = shape.as_slice() else { return 0 };
        let groups = if channels.is_multiple_of(2) { 2 } else { channels };
        let spatial: Vec<i64> = spatial.iter().map(|&n| n as i64).collect();
        let batch = if self.draws.chance(0.5) { -1 } else { shape[0] as i64 };
        let split = [&[batch, groups as i64, (channels / groups) as i64][..], &spatial].concat();
        let merged = [&[batch, channels as i64][..], &spatial].concat();
        let mut perm: Vec<usize> = (0..split.len()).collect();
        perm.swap(1, 2);
        let ops = [
            Op::Reshape { shape: split, allow_zero: false },
            Op::Transpose { perm },
            Op::Reshape { shape: merged, allow_zero: false },
        ];
        let (mut y, mut n) = (x, 0);
        for op in ops {
            let Some(made) = self.try_node(op, vec![Operand::Known(y)]) else { break };
            (y, n) = (made[0], n + 1);
        }
        n
    }
}
