//! Small tensors whose entries may be symbols, and the operators of shape arithmetic on them.

use std::cmp::Ordering;
use std::sync::Arc;

use super::polynomial::{Arithmetic, Number};
use super::{Extent, Symbol, Symbols};
use crate::ops::SliceBounds;
use crate::{DType, Data, Tensor};

/// More entries than any shape has; larger tensors are not evaluated.
const MAX_ENTRIES: usize = 4096;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Entry {
    Int(i64),
    Float(f32),
    Symbol(Symbol),
}

/// A small tensor of integers (i64, i32), truth values (as 0 and 1) or f32.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SymbolicTensor {
    dtype: DType,
    shape: Vec<usize>,
    entries: Vec<Entry>,
}

/// `axis` counted from the front, if it exists.
pub(crate) fn normalize_axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let from_front = if axis < 0 { axis.checked_add(rank)? } else { axis };
    (0..rank).contains(&from_front).then_some(from_front as usize)
}

/// The shape that two shapes broadcast to.
fn joined(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    crate::shape::broadcast(a, b).ok_or_else(|| format!("cannot broadcast {a:?} and {b:?}"))
}

fn count(shape: &[usize]) -> Result<usize, String> {
    shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= MAX_ENTRIES).ok_or_else(|| {
        format!("a shape calculation on a tensor of shape {shape:?}, at most {MAX_ENTRIES} entries are supported")
    })
}

impl SymbolicTensor {
    fn new(dtype: DType, shape: Vec<usize>, entries: Vec<Entry>) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), entries.len(), "one entry per element");
        Self { dtype, shape, entries }
    }

    /// Whether tensors of this shape have more elements than are calculated with.
    pub(crate) fn is_too_large(shape: &[usize]) -> bool {
        count(shape).is_err()
    }

    /// The symbolic view of a constant, if it is small and of a type that shape arithmetic uses.
    pub(crate) fn from_constant(tensor: &Tensor) -> Option<Self> {
        if tensor.len() > MAX_ENTRIES {
            return None;
        }
        let entries = match tensor.data() {
            Data::I64(v) => v.iter().map(|&i| Entry::Int(i)).collect(),
            Data::I32(v) => v.iter().map(|&i| Entry::Int(i64::from(i))).collect(),
            Data::Bool(v) => v.iter().map(|&b| Entry::Int(i64::from(b))).collect(),
            Data::F32(v) => v.iter().map(|&f| Entry::Float(f)).collect(),
            Data::F64(_) | Data::I16(_) | Data::I8(_) | Data::U16(_) | Data::U8(_) => return None,
        };
        Some(Self::new(tensor.dtype(), tensor.shape().to_vec(), entries))
    }

    /// The vector of the extents `shape`.
    pub(crate) fn from_extents(shape: &[Extent]) -> Self {
        let entry = |extent: &Extent| match *extent {
            Extent::Known(n) => Entry::Int(n as i64),
            Extent::Symbol(s) => Entry::Symbol(s),
        };
        Self::new(DType::I64, vec![shape.len()], shape.iter().map(entry).collect())
    }

    /// The tensor, if every entry is known.
    pub(crate) fn to_constant(&self) -> Option<Tensor> {
        let ints = || -> Option<Vec<i64>> {
            self.entries.iter().map(|e| if let Entry::Int(i) = e { Some(*i) } else { None }).collect()
        };
        let data = match self.dtype {
            DType::I64 => Data::I64(Arc::new(ints()?)),
            DType::I32 => {
                Data::I32(Arc::new(ints()?.into_iter().map(|i| i32::try_from(i).ok()).collect::<Option<_>>()?))
            }
            DType::Bool => Data::Bool(Arc::new(ints()?.into_iter().map(|i| i != 0).collect())),
            DType::F32 => {
                let float = |e: &Entry| if let Entry::Float(f) = e { Some(*f) } else { None };
                Data::F32(Arc::new(self.entries.iter().map(float).collect::<Option<_>>()?))
            }
            DType::F64 | DType::I16 | DType::I8 | DType::U16 | DType::U8 => return None,
        };
        Tensor::new(self.shape.clone(), data)
    }

    /// Element type.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    /// Number of entries.
    pub(crate) fn n_entries(&self) -> usize {
        self.entries.len()
    }

    /// Extents.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The entries as integers; an entry nobody knows is its symbol.
    pub(crate) fn ints(&self) -> Option<Vec<Result<i64, Symbol>>> {
        let int = |entry: &Entry| match *entry {
            Entry::Int(i) => Some(Ok(i)),
            Entry::Symbol(s) => Some(Err(s)),
            Entry::Float(_) => None,
        };
        self.entries.iter().map(int).collect()
    }

    /// The only entry, if it is a symbol.
    pub(crate) fn symbol(&self) -> Option<Symbol> {
        match self.entries.as_slice() {
            [Entry::Symbol(symbol)] => Some(*symbol),
            _ => None,
        }
    }

    /// The same entries under another shape.
    pub(crate) fn reshaped(&self, shape: Vec<usize>) -> Result<Self, String> {
        if count(&shape)? != self.entries.len() {
            return Err(format!("cannot reshape {:?} to {shape:?}", self.shape));
        }
        Ok(Self::new(self.dtype, shape, self.entries.clone()))
    }

    /// Reshape with ONNX's rules for 0 and −1.
    pub(crate) fn reshaped_by(&self, target: &[i64], allow_zero: bool) -> Result<Self, String> {
        let mut shape = Vec::with_capacity(target.len());
        let mut inferred = None;
        for (i, &extent) in target.iter().enumerate() {
            shape.push(match extent {
                -1 if inferred.replace(i).is_none() => 1,
                0 if !allow_zero => *self.shape.get(i).ok_or("0 copies an axis that does not exist")?,
                _ => usize::try_from(extent).map_err(|_| format!("target shape {target:?} is not valid"))?,
            });
        }
        if let Some(i) = inferred {
            let rest = count(&shape)?;
            shape[i] = self.entries.len().checked_div(rest).unwrap_or(0);
        }
        self.reshaped(shape)
    }

    /// Conversion. A float's symbol may stand for a fraction, so that it does not survive the way back to integers.
    pub(crate) fn cast(&self, to: DType, symbols: &mut Symbols) -> Option<Self> {
        let from_float = self.dtype == DType::F32;
        let entries = self.entries.iter().map(|&entry| {
            Some(match (entry, to) {
                (Entry::Symbol(s), DType::I64 | DType::I32) => {
                    Entry::Symbol(if from_float { symbols.fresh() } else { s })
                }
                (Entry::Symbol(s), DType::F32) => Entry::Symbol(s),
                (Entry::Int(i), DType::F32) => Entry::Float(i as f32),
                (Entry::Float(f), DType::F32) => Entry::Float(f),
                (Entry::Int(i), DType::I64) => Entry::Int(i),
                (Entry::Int(i), DType::I32) => Entry::Int(i64::from(i as i32)),
                (Entry::Int(i), DType::Bool) => Entry::Int(i64::from(i != 0)),
                (Entry::Float(f), DType::I64) if f.is_finite() => Entry::Int(f as i64),
                (Entry::Float(f), DType::I32) if f.is_finite() => Entry::Int(i64::from(f as i32)),
                _ => return None,
            })
        });
        let entries = entries.collect::<Option<Vec<_>>>()?;
        Some(Self::new(to, self.shape.clone(), entries))
    }

    /// Whether `is` holds for `a` beside `b`, with broadcasting, as truth values. `None` where a symbol decides; of an extent
    /// (`is_extent`) it is known that it is not negative.
    pub(crate) fn compared(
        a: &Self,
        b: &Self,
        is: fn(Ordering) -> bool,
        is_extent: impl Fn(Symbol) -> bool,
    ) -> Result<Option<Self>, String> {
        let shape = joined(&a.shape, &b.shape)?;
        let order = |a: Entry, b: Entry| match (a, b) {
            (Entry::Int(a), Entry::Int(b)) => Some(a.cmp(&b)),
            (Entry::Float(a), Entry::Float(b)) => a.partial_cmp(&b),
            (Entry::Symbol(a), Entry::Symbol(b)) if a == b => Some(Ordering::Equal),
            (Entry::Symbol(a), Entry::Int(b)) if b < 0 && is_extent(a) => Some(Ordering::Greater),
            (Entry::Int(a), Entry::Symbol(b)) if a < 0 && is_extent(b) => Some(Ordering::Less),
            _ => None,
        };
        let truth =
            |flat| order(a.broadcast(&shape, flat), b.broadcast(&shape, flat)).map(|o| Entry::Int(is(o).into()));
        let entries: Option<Vec<Entry>> = (0..count(&shape)?).map(truth).collect();
        Ok(entries.map(|entries| Self::new(DType::Bool, shape, entries)))
    }

    /// Entries of `a` where `self` is true, else of `b`, with broadcasting. `None` where a truth value is not known.
    pub(crate) fn choose(&self, a: &Self, b: &Self) -> Result<Option<Self>, String> {
        if self.dtype != DType::Bool || a.dtype != b.dtype {
            return Err(format!("inputs of the element types {:?}, {:?} and {:?}", self.dtype, a.dtype, b.dtype));
        }
        let shape = joined(&self.shape, &joined(&a.shape, &b.shape)?)?;
        let entry = |flat| match self.broadcast(&shape, flat) {
            Entry::Int(0) => Some(b.broadcast(&shape, flat)),
            Entry::Int(_) => Some(a.broadcast(&shape, flat)),
            Entry::Float(_) | Entry::Symbol(_) => None,
        };
        let entries: Option<Vec<Entry>> = (0..count(&shape)?).map(entry).collect();
        Ok(entries.map(|entries| Self::new(a.dtype, shape, entries)))
    }

    /// `a op b` with broadcasting.
    pub(crate) fn binary(op: Arithmetic, a: &Self, b: &Self, symbols: &mut Symbols) -> Result<Self, String> {
        if a.dtype != b.dtype {
            return Err(format!("inputs mix the element types {:?} and {:?}", a.dtype, b.dtype));
        }
        let shape = joined(&a.shape, &b.shape)?;
        let n_entries = count(&shape)?;
        let mut entries = Vec::with_capacity(n_entries);
        for flat in 0..n_entries {
            entries.push(apply(op, a.broadcast(&shape, flat), b.broadcast(&shape, flat), symbols)?);
        }
        Ok(Self::new(a.dtype, shape, entries))
    }

    /// The entry that stands at `flat` once the tensor is broadcast to `shape`.
    fn broadcast(&self, shape: &[usize], flat: usize) -> Entry {
        let (mut rest, mut offset, mut stride) = (flat, 0, 1);
        for (&extent, &own) in shape.iter().rev().zip(self.shape.iter().rev()) {
            if own != 1 {
                offset += (rest % extent) * stride;
            }
            stride *= own;
            rest /= extent;
        }
        self.entries[offset]
    }

    /// Floor of every entry.
    pub(crate) fn floor(&self, symbols: &mut Symbols) -> Self {
        let floor = |entry: &Entry| match *entry {
            Entry::Float(f) => Entry::Float(f.floor()),
            Entry::Symbol(_) => Entry::Symbol(symbols.fresh()),
            int @ Entry::Int(_) => int,
        };
        let entries = self.entries.iter().map(floor).collect();
        Self::new(self.dtype, self.shape.clone(), entries)
    }

    /// Product over all entries, as a scalar or (with `keep_dims`) a tensor of ones.
    pub(crate) fn product(&self, keep_dims: bool, symbols: &mut Symbols) -> Result<Self, String> {
        let one = if self.dtype == DType::F32 { Entry::Float(1.0) } else { Entry::Int(1) };
        let product =
            self.entries.iter().try_fold(one, |product, &entry| apply(Arithmetic::Mul, product, entry, symbols))?;
        let shape = if keep_dims { vec![1; self.shape.len()] } else { Vec::new() };
        Ok(Self::new(self.dtype, shape, vec![product]))
    }

    /// Joins tensors along `axis`.
    pub(crate) fn concat(parts: &[Self], axis: i64) -> Result<Self, String> {
        let first = parts.first().ok_or("no input")?;
        let axis = normalize_axis(axis, first.shape.len()).ok_or_else(|| format!("axis {axis} does not exist"))?;
        let mut shape = first.shape.clone();
        shape[axis] = 0;
        for part in parts {
            let fits = part.dtype == first.dtype
                && part.shape.len() == shape.len()
                && (0..shape.len()).all(|i| i == axis || part.shape[i] == shape[i]);
            if !fits {
                return Err(format!("cannot concatenate {:?} and {:?}", first.shape, part.shape));
            }
            shape[axis] += part.shape[axis];
        }
        let n_entries = count(&shape)?;
        let outer: usize = shape[..axis].iter().product();
        let inner: usize = shape[axis + 1..].iter().product();
        let mut entries = Vec::with_capacity(n_entries);
        for row in 0..outer {
            for part in parts {
                let run = part.shape[axis] * inner;
                entries.extend_from_slice(&part.entries[row * run..(row + 1) * run]);
            }
        }
        Ok(Self::new(first.dtype, shape, entries))
    }

    /// Takes the entries at `indices` along `axis`; `index_shape` replaces the axis.
    pub(crate) fn gather(&self, indices: &[i64], index_shape: &[usize], axis: i64) -> Result<Self, String> {
        let axis = normalize_axis(axis, self.shape.len()).ok_or_else(|| format!("axis {axis} does not exist"))?;
        let extent = self.shape[axis];
        let picks = indices
            .iter()
            .map(|&i| normalize_axis(i, extent).ok_or_else(|| format!("index {i} is outside of the extent {extent}")))
            .collect::<Result<Vec<_>, _>>()?;
        let shape = [&self.shape[..axis], index_shape, &self.shape[axis + 1..]].concat();
        count(&shape)?;
        let taken = self.take(axis, &picks);
        Ok(Self::new(self.dtype, shape, taken))
    }

    /// The entries at `picks` along `axis`.
    fn take(&self, axis: usize, picks: &[usize]) -> Vec<Entry> {
        if self.entries.is_empty() {
            return Vec::new();
        }
        let outer: usize = self.shape[..axis].iter().product();
        let inner: usize = self.shape[axis + 1..].iter().product();
        let mut entries = Vec::with_capacity(outer * picks.len() * inner);
        for row in 0..outer {
            for &pick in picks {
                let start = (row * self.shape[axis] + pick) * inner;
                entries.extend_from_slice(&self.entries[start..start + inner]);
            }
        }
        entries
    }

    /// A strided cut along one axis, with ONNX's clamping.
    pub(crate) fn slice(&self, axis: i64, start: i64, end: i64, step: i64) -> Result<Self, String> {
        let axis = normalize_axis(axis, self.shape.len()).ok_or_else(|| format!("axis {axis} does not exist"))?;
        let bounds = SliceBounds::new(self.shape[axis], start, end, step).ok_or("step 0")?;
        let mut shape = self.shape.clone();
        shape[axis] = bounds.len;
        // Where another extent is 0, this one may be any number.
        let len = if self.entries.is_empty() { 0 } else { bounds.len };
        let picks: Vec<usize> = bounds.indices().take(len).collect();
        let entries = self.take(axis, &picks);
        Ok(Self::new(self.dtype, shape, entries))
    }

    /// Permutes the axes; `perm` is a permutation of them.
    pub(crate) fn transpose(&self, perm: &[usize]) -> Result<Self, String> {
        let mut sorted = perm.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..self.shape.len()) {
            return Err(format!("{perm:?} is not a permutation of {} axes", self.shape.len()));
        }
        let strides: Vec<usize> = (0..self.shape.len()).map(|i| self.shape[i + 1..].iter().product()).collect();
        let shape: Vec<usize> = perm.iter().map(|&p| self.shape[p]).collect();
        let entry = |flat: usize| {
            let (mut rest, mut offset) = (flat, 0);
            for &p in perm.iter().rev() {
                offset += (rest % self.shape[p]) * strides[p];
                rest /= self.shape[p];
            }
            self.entries[offset]
        };
        let entries = (0..self.entries.len()).map(entry).collect();
        Ok(Self::new(self.dtype, shape, entries))
    }

    /// `shape` filled with the only entry of `self`.
    pub(crate) fn filled(&self, shape: Vec<usize>) -> Result<Self, String> {
        let &[entry] = self.entries.as_slice() else {
            return Err(format!("fill value of shape {:?}, expected one element", self.shape));
        };
        let n_entries = count(&shape)?;
        Ok(Self::new(self.dtype, shape, vec![entry; n_entries]))
    }

    /// Repeats `self` to the shape that it and `shape` broadcast to.
    pub(crate) fn expanded(&self, shape: Vec<usize>, symbols: &mut Symbols) -> Result<Self, String> {
        let zero = if self.dtype == DType::F32 { Entry::Float(0.0) } else { Entry::Int(0) };
        let zeros = Self::new(self.dtype, Vec::new(), vec![zero]).filled(shape)?;
        Self::binary(Arithmetic::Add, self, &zeros, symbols)
    }

    /// The integers from `start` to `limit` in steps of `delta`.
    pub(crate) fn range(start: i64, limit: i64, delta: i64) -> Result<Self, String> {
        if delta == 0 {
            return Err("step 0".to_owned());
        }
        let distance = i128::from(limit) - i128::from(start);
        let steps = distance / i128::from(delta) + i128::from(distance % i128::from(delta) != 0);
        let steps = usize::try_from(steps.max(0)).unwrap_or(usize::MAX);
        let steps = if distance.signum() == i128::from(delta.signum()) { count(&[steps])? } else { 0 };
        // No number lies beyond the limit, only the products on the way may.
        let number = |i: usize| i64::try_from(i128::from(start) + i as i128 * i128::from(delta));
        let entries: Result<Vec<Entry>, _> = (0..steps).map(|i| number(i).map(Entry::Int)).collect();
        Ok(Self::new(DType::I64, vec![steps], entries.map_err(|_| "integer overflow")?))
    }

    /// The numbers from `start` to `limit` in steps of `delta`, each the one before plus `delta`, as onnxruntime adds.
    pub(crate) fn float_range(start: f32, limit: f32, delta: f32) -> Result<Self, String> {
        let steps = ((f64::from(limit) - f64::from(start)) / f64::from(delta)).ceil();
        if !steps.is_finite() {
            return Err(format!("bounds {start}, {limit} and step {delta}"));
        }
        // Saturates; `count` refuses what is too much.
        let steps = count(&[steps.max(0.0) as usize])?;
        let entries = std::iter::successors(Some(start), |x| Some(x + delta)).take(steps).map(Entry::Float).collect();
        Ok(Self::new(DType::F32, vec![steps], entries))
    }

    /// The entries as f32, if all are.
    pub(crate) fn floats(&self) -> Option<Vec<f32>> {
        self.entries.iter().map(|entry| if let Entry::Float(f) = entry { Some(*f) } else { None }).collect()
    }
}

fn apply(op: Arithmetic, a: Entry, b: Entry, symbols: &mut Symbols) -> Result<Entry, String> {
    Ok(match (op, a, b) {
        (_, Entry::Int(x), Entry::Int(y)) => {
            let result = match op {
                Arithmetic::Add => x.checked_add(y),
                Arithmetic::Sub => x.checked_sub(y),
                Arithmetic::Mul => x.checked_mul(y),
                Arithmetic::Div if y == 0 => return Err("division by zero".to_owned()),
                Arithmetic::Div => x.checked_div(y),
            };
            Entry::Int(result.ok_or("integer overflow")?)
        }
        (_, Entry::Float(x), Entry::Float(y)) => Entry::Float(match op {
            Arithmetic::Add => x + y,
            Arithmetic::Sub => x - y,
            Arithmetic::Mul => x * y,
            Arithmetic::Div => x / y,
        }),
        (_, Entry::Symbol(x), Entry::Symbol(y)) => {
            Entry::from(symbols.combine(op, Number::Symbol(x), Number::Symbol(y)))
        }
        (_, Entry::Symbol(x), Entry::Int(y)) => Entry::from(symbols.combine(op, Number::Symbol(x), Number::Int(y))),
        (_, Entry::Int(x), Entry::Symbol(y)) => Entry::from(symbols.combine(op, Number::Int(x), Number::Symbol(y))),
        (Arithmetic::Add, s @ Entry::Symbol(_), other) | (Arithmetic::Add, other, s @ Entry::Symbol(_))
            if is(other, 0) =>
        {
            s
        }
        (Arithmetic::Mul, s @ Entry::Symbol(_), other) | (Arithmetic::Mul, other, s @ Entry::Symbol(_))
            if is(other, 1) =>
        {
            s
        }
        (Arithmetic::Sub, s @ Entry::Symbol(_), other) if is(other, 0) => s,
        (Arithmetic::Div, s @ Entry::Symbol(_), other) if is(other, 1) => s,
        _ => Entry::Symbol(symbols.fresh()),
    })
}

impl From<Number> for Entry {
    fn from(number: Number) -> Self {
        match number {
            Number::Int(i) => Entry::Int(i),
            Number::Symbol(s) => Entry::Symbol(s),
        }
    }
}

fn is(entry: Entry, value: i16) -> bool {
    match entry {
        Entry::Int(i) => i == i64::from(value),
        Entry::Float(f) => f.to_bits() == f32::from(value).to_bits(),
        Entry::Symbol(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Op, Slice};

    fn ints(shape: &[usize], entries: &[i64]) -> SymbolicTensor {
        SymbolicTensor::from_constant(&Tensor::from_i64(shape.to_vec(), entries.to_vec())).expect("small")
    }

    fn values(tensor: &SymbolicTensor) -> Vec<i64> {
        tensor.ints().expect("integers").into_iter().map(|e| e.unwrap_or(-999)).collect()
    }

    #[test]
    fn slices_without_entries_take_no_time_and_no_memory() {
        let empty = ints(&[0, 1 << 40], &[]);
        for (step, len) in [(1, 1 << 40), (-1, 1 << 40), (3, (1_usize << 40).div_ceil(3))] {
            let (start, end) = if step > 0 { (0, i64::MAX) } else { (-1, i64::MIN) };
            assert_eq!(empty.slice(1, start, end, step).unwrap().shape, [0, len], "step {step}");
        }
        assert_eq!(values(&ints(&[5], &[0, 1, 2, 3, 4]).slice(0, -1, i64::MIN, -2).unwrap()), [4, 2, 0]);
        assert_eq!(values(&ints(&[5], &[0, 1, 2, 3, 4]).slice(0, 1, i64::MAX, 3).unwrap()), [1, 4]);
    }

    #[test]
    fn slices_follow_onnx_clamping() {
        let x = ints(&[5], &[0, 1, 2, 3, 4]);
        for (start, end, step, expected) in [
            (1, 3, 1, &[1, 2][..]),
            (-1, i64::MIN, -1, &[4, 3, 2, 1, 0]),
            (0, i64::MAX, 2, &[0, 2, 4]),
            (10, 20, 1, &[]),
            (-100, 100, 3, &[0, 3]),
            (i64::MAX, 0, -2, &[4, 2]),
            // As onnxruntime 1.32 has it; NumPy gives nothing for all but the last.
            (-10, -100, -1, &[0]),
            (-6, i64::MIN, -1, &[0]),
            (i64::MIN, i64::MIN, i64::MIN, &[0]),
            (-10, i64::MIN, -2, &[0]),
            (-10, 0, -1, &[]),
        ] {
            assert_eq!(values(&x.slice(0, start, end, step).unwrap()), expected, "{start}..{end}..{step}");
            let slice = Slice { axes: vec![0], starts: vec![start], ends: vec![end], steps: vec![step] };
            let whole = Some(vec![Extent::Known(5)]);
            let shapes = Op::Slice(slice).symbolic_shapes(&[&whole], 1, &mut Symbols::default());
            assert_eq!(shapes, [Some(vec![Extent::Known(expected.len())])], "{start}..{end}..{step}");
        }
        assert!(x.slice(0, 0, 1, 0).is_err());
        assert!(x.slice(1, 0, 1, 1).is_err());
    }

    #[test]
    fn layout_operators_move_entries() {
        let x = ints(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(values(&x.transpose(&[1, 0]).unwrap()), [1, 4, 2, 5, 3, 6]);
        assert!(x.transpose(&[0, 0]).is_err());
        assert_eq!(values(&x.gather(&[-1], &[], 1).unwrap()), [3, 6]);
        assert_eq!(
            values(&SymbolicTensor::concat(&[x.clone(), x.clone()], 1).unwrap()),
            [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6]
        );
        assert_eq!(x.reshaped_by(&[-1, 2], false).unwrap().shape(), [3, 2]);
        assert_eq!(x.reshaped_by(&[0, -1], false).unwrap().shape(), [2, 3]);
        assert!(x.reshaped_by(&[4, -1], false).is_err());
        assert_eq!(values(&SymbolicTensor::range(5, -1, -2).unwrap()), [5, 3, 1]);
        assert!(SymbolicTensor::range(0, i64::MAX, 1).is_err());
        let wide = SymbolicTensor::range(i64::MIN, i64::MAX, i64::MAX).unwrap();
        assert_eq!(values(&wide), [i64::MIN, -1, i64::MAX - 1]);
        assert!(SymbolicTensor::range(i64::MAX, i64::MIN, i64::MIN).is_ok());
        let halves = SymbolicTensor::float_range(0.0, 2.0, 0.5).unwrap();
        assert_eq!(halves.floats().unwrap(), [0.0, 0.5, 1.0, 1.5]);
        assert_eq!(SymbolicTensor::float_range(0.0, 2.0, -0.5).unwrap().n_entries(), 0);
        assert!(SymbolicTensor::float_range(0.0, 1e30, 1.0).is_err());
        assert!(SymbolicTensor::float_range(0.0, 1.0, 0.0).is_err());
        assert!(SymbolicTensor::float_range(0.0, f32::NAN, 1.0).is_err());
        assert_eq!(values(&SymbolicTensor::range(3, 3, 1).unwrap()), []);
    }

    #[test]
    fn symbols_survive_only_what_keeps_their_value() {
        let mut symbols = Symbols::default();
        let n = symbols.named("N");
        assert_eq!(n, symbols.named("N"));
        let x = SymbolicTensor::from_extents(&[Extent::Symbol(n), Extent::Known(4)]);
        let one = ints(&[], &[1]);
        let same = SymbolicTensor::binary(Arithmetic::Mul, &x, &one, &mut symbols).unwrap();
        assert_eq!(same, x);
        let twice = SymbolicTensor::binary(Arithmetic::Add, &x, &x, &mut symbols).unwrap();
        assert_eq!(twice.ints().unwrap()[1], Ok(8));
        assert_ne!(twice.ints().unwrap()[0], Err(n));
        let two = ints(&[], &[2]);
        assert_eq!(SymbolicTensor::binary(Arithmetic::Mul, &x, &two, &mut symbols).unwrap(), twice);
        assert_eq!(SymbolicTensor::binary(Arithmetic::Div, &twice, &two, &mut symbols).unwrap(), x);
        assert!(x.to_constant().is_none());
        let zero = ints(&[], &[0]);
        assert!(SymbolicTensor::binary(Arithmetic::Div, &one, &zero, &mut symbols).is_err());
        let min = ints(&[], &[i64::MIN]);
        assert!(SymbolicTensor::binary(Arithmetic::Div, &min, &ints(&[], &[-1]), &mut symbols).is_err());
    }
}
