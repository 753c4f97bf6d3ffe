//! Kernels on tensors in row-major order: products, normalizations along rows, and data movement on any axis.

use skimp_graph::ops;
use skimp_graph::shape::matmul_operands;
use skimp_graph::{Node, Op, Slice, ValueId};

use super::build::Builder;
use super::cones::Cone;
use super::places::Form;
use super::{Epilogue, Factor, Step};
use crate::kernels::matmul::{Panels, Strides};
use crate::kernels::rows::RowFunction;
use crate::kernels::strided::{Axis, Copy};

impl Builder<'_> {
    /// Plans a node by a kernel for plain tensors, or changes nothing and returns `None`.
    pub(super) fn tensor_kernel(&mut self, idx: usize) -> Option<()> {
        let node = &self.graph.nodes()[idx];
        match &node.op {
            Op::MatMul => self.product(idx, None),
            Op::LayerNormalization(norm) => self.layer_norm(node, norm),
            Op::Softmax(ops::Softmax { axis }) => self.softmax(node, *axis),
            Op::Transpose(ops::Transpose { perm }) => self.transpose(node, perm),
            Op::Concat(ops::Concat { axis }) => self.join(node, *axis),
            Op::Split(ops::Split { axis, sizes }) => self.cut(node, *axis, sizes),
            Op::Slice(slice) => self.slice_tensor(node, slice),
            Op::Gather(ops::Gather { axis }) => self.gather_one(node, *axis),
            Op::Expand(_) => self.expand(node),
            // The reference runs in the kernel's place.
            _ => None,
        }
    }

    /// Whether moving a value is better done on plain tensors: nothing has blocked it.
    pub(super) fn all_plain(&self, node: &Node) -> bool {
        let mut computed = node.inputs.iter().flatten().filter(|id| self.constants[id.0].is_none());
        computed.all(|&id| self.form(id) == Form::Plain)
    }

    /// Whether a product of matrices has a kernel.
    pub(super) fn multiplies(&self, node: &Node) -> bool {
        let Op::MatMul = node.op else { return false };
        let (Some(a), Some(b)) = (self.computed(node, 0), node.inputs.get(1).copied().flatten()) else { return false };
        let (shape, other) = (self.shapes.shape(a), self.shapes.shape(b));
        let is_matrix = other.iter().rev().skip(2).all(|&n| n == 1);
        let b_fits = if self.constant(b).is_some() { self.parameter(node, 1).is_some() && is_matrix } else { true };
        // One row times constants has a kernel of its own.
        shape.len() >= 2
            && other.len() >= 2
            && b_fits
            && (self.constant(b).is_none() || shape.len() != 2 || shape[0] != 1)
    }

    /// A product of matrices, and what runs on its rows.
    pub(super) fn product(&mut self, idx: usize, cone: Option<&Cone>) -> Option<()> {
        let node = &self.graph.nodes()[idx];
        if !self.multiplies(node) {
            return None;
        }
        let (a, b) = (self.computed(node, 0)?, node.inputs[1]?);
        let shapes = matmul_operands(self.shapes.shape(a), self.shapes.shape(b)).ok()?;
        let (m, k, n) = (shapes.m, shapes.k, shapes.n);
        let [batch_a, batch_b, batch] = &shapes.batch;
        let starts = starts(batch_a, batch, m * k);
        let right = match self.parameter(node, 1) {
            Some(elements) => Factor::Constant(
                self.packs.panels.get_or((idx, 0), || Panels::new([k, n], elements, Strides { row: n, column: 1 })),
            ),
            None => Factor::Computed(self.request(b, Form::Plain), self::starts(batch_b, batch, k * n)),
        };
        let epilogue = cone.map(|cone| {
            let operands = self.operands(cone, Form::Plain);
            Epilogue { program: cone.program.clone(), operands }
        });
        let a = self.request(a, Form::Plain);
        let out = self.place(cone.map_or(node.outputs[0], |cone| cone.out), Form::Plain);
        self.push(Step::Product { extents: [m, k, n], a, starts, right, isa: self.isa, epilogue, out });
        Some(())
    }

    fn layer_norm(&mut self, node: &Node, norm: &ops::LayerNormalization) -> Option<()> {
        let x = self.computed(node, 0)?;
        let shape = self.shapes.shape(x);
        let axis = index(norm.axis, shape.len())?;
        let n: usize = shape[axis..].iter().product();
        let scale = self.parameter(node, 1)?;
        let shift = match node.inputs.get(2).copied().flatten() {
            Some(_) => self.parameter(node, 2)?.to_vec(),
            None => vec![0.0; n],
        };
        if scale.len() != n || shift.len() != n {
            return None;
        }
        let function = RowFunction::LayerNorm { epsilon: norm.epsilon, scale: scale.to_vec(), shift };
        self.rows(x, node.outputs[0], n, function)
    }

    fn softmax(&mut self, node: &Node, axis: i64) -> Option<()> {
        let x = self.computed(node, 0)?;
        let shape = self.shapes.shape(x);
        let axis = index(axis, shape.len())?;
        if shape[axis + 1..].iter().any(|&n| n != 1) {
            return None;
        }
        self.rows(x, node.outputs[0], shape[axis], RowFunction::Softmax)
    }

    fn rows(&mut self, x: ValueId, out: ValueId, n: usize, function: RowFunction) -> Option<()> {
        let x = self.request(x, Form::Plain);
        let out = self.place(out, Form::Plain);
        self.push(Step::Rows { function, isa: self.isa, n, x, out });
        Some(())
    }

    fn transpose(&mut self, node: &Node, perm: &[usize]) -> Option<()> {
        let x = self.computed(node, 0)?;
        let (shape, strides) = (self.shapes.shape(x), strides(self.shapes.shape(x)));
        let target: Vec<usize> = perm.iter().map(|&axis| shape[axis]).collect();
        let to = self::strides(&target);
        let axes = (0..perm.len()).map(|i| Axis { extent: target[i], from: strides[perm[i]], to: to[i] });
        let copy = Copy::new(0, 0, &axes.collect::<Vec<_>>());
        self.copies(vec![(x, copy)], node.outputs[0])
    }

    /// The axes of a copy of a whole tensor of this shape from one with these strides into one with those.
    fn axes(shape: &[usize], from: &[usize], to: &[usize]) -> Vec<Axis> {
        let strides = from.iter().zip(to);
        shape.iter().zip(strides).map(|(&extent, (&from, &to))| Axis { extent, from, to }).collect()
    }

    fn join(&mut self, node: &Node, axis: i64) -> Option<()> {
        let out = node.outputs[0];
        let to = strides(self.shapes.shape(out));
        let axis = index(axis, to.len())?;
        let mut place = 0;
        let mut parts = Vec::new();
        for idx in 0..node.inputs.len() {
            let id = node.inputs[idx]?;
            let shape = self.shapes.shape(id);
            if shape[axis] > 0 {
                parts.push((id, Copy::new(0, place * to[axis], &Self::axes(shape, &strides(shape), &to))));
            }
            place += shape[axis];
        }
        self.copies(parts, out)
    }

    fn cut(&mut self, node: &Node, axis: i64, sizes: &[usize]) -> Option<()> {
        let x = self.computed(node, 0)?;
        let from = strides(self.shapes.shape(x));
        let axis = index(axis, from.len())?;
        let mut place = 0;
        for (&out, &size) in node.outputs.iter().zip(sizes) {
            let shape = self.shapes.shape(out);
            let copy = Copy::new(place * from[axis], 0, &Self::axes(shape, &from, &strides(shape)));
            self.copies(vec![(x, copy)], out)?;
            place += size;
        }
        Some(())
    }

    /// Cuts any axes with positive steps.
    fn slice_tensor(&mut self, node: &Node, slice: &Slice) -> Option<()> {
        let x = self.computed(node, 0)?;
        let shape = self.shapes.shape(x);
        let mut from = strides(shape);
        let mut first = 0;
        for (i, &axis) in slice.axes.iter().enumerate() {
            let axis = index(axis, shape.len())?;
            let step = usize::try_from(slice.steps[i]).ok().filter(|&step| step > 0)?;
            let limit = shape[axis] as i64;
            let start = slice.starts[i];
            let start = if start < 0 { start.checked_add(limit)? } else { start };
            first += usize::try_from(start.clamp(0, limit)).ok()? * from[axis];
            from[axis] *= step;
        }
        let target = self.shapes.shape(node.outputs[0]);
        let copy = Copy::new(first, 0, &Self::axes(target, &from, &strides(target)));
        self.copies(vec![(x, copy)], node.outputs[0])
    }

    /// One constant index, or several that follow each other.
    fn gather_one(&mut self, node: &Node, axis: i64) -> Option<()> {
        let x = self.computed(node, 0)?;
        let indices = self.constant(node.inputs.get(1).copied().flatten()?)?;
        let indices: Vec<i64> = match (indices.as_i64(), indices.elements::<i32>()) {
            (Some(wide), _) => wide.to_vec(),
            (None, Some(narrow)) => narrow.iter().map(|&index| i64::from(index)).collect(),
            (None, None) => return None,
        };
        let shape = self.shapes.shape(x);
        let from = strides(shape);
        let axis = index(axis, shape.len())?;
        let first = index(*indices.first()?, shape[axis])?;
        let follow = indices.iter().enumerate().all(|(i, &place)| index(place, shape[axis]) == Some(first + i));
        if !follow {
            return None;
        }
        let mut cut = shape.to_vec();
        cut[axis] = indices.len();
        let copy = Copy::new(first * from[axis], 0, &Self::axes(&cut, &from, &strides(&cut)));
        self.copies(vec![(x, copy)], node.outputs[0])
    }

    fn expand(&mut self, node: &Node) -> Option<()> {
        let x = self.computed(node, 0)?;
        let target = self.shapes.shape(node.outputs[0]);
        let shape = self.shapes.shape(x);
        let missing = target.len().checked_sub(shape.len())?;
        let mut from = vec![0; missing];
        from.extend(strides(shape).into_iter().zip(shape).map(|(stride, &n)| if n == 1 { 0 } else { stride }));
        let copy = Copy::new(0, 0, &Self::axes(target, &from, &strides(target)));
        self.copies(vec![(x, copy)], node.outputs[0])
    }

    /// Copies of computed values and constants into a value; together they fill it.
    fn copies(&mut self, parts: Vec<(ValueId, Copy)>, out: ValueId) -> Option<()> {
        let constant = |id: ValueId| self.constant(id).map(|tensor| tensor.as_f32().map(<[f32]>::to_vec));
        if parts.iter().any(|&(id, _)| constant(id) == Some(None)) {
            return None;
        }
        let parts = parts.into_iter().map(|(id, copy)| match self.constant(id).and_then(|tensor| tensor.as_f32()) {
            Some(elements) => (Err(elements.to_vec()), copy),
            None => (Ok(id), copy),
        });
        let parts: Vec<(Result<ValueId, Vec<f32>>, Copy)> = parts.collect();
        let parts = parts.into_iter().map(|(source, copy)| (source.map(|id| self.request(id, Form::Plain)), copy));
        let parts = parts.collect();
        let out = self.place(out, Form::Plain);
        self.push(Step::Copies { parts, out });
        Some(())
    }
}

/// Row-major strides.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// An index that may be negative.
fn index(index: i64, extent: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(i64::try_from(extent).ok()?)? } else { index };
    usize::try_from(index).ok().filter(|&index| index < extent)
}

/// The first elements of the matrices of a batch `from`, of `len` elements each, as it broadcasts to `to`.
fn starts(from: &[usize], to: &[usize], len: usize) -> Vec<usize> {
    let mut starts = vec![0];
    let missing = to.len() - from.len();
    let strides = strides(from);
    for (axis, &extent) in to.iter().enumerate() {
        let stride = match axis.checked_sub(missing) {
            Some(axis) if from[axis] > 1 => strides[axis] * len,
            _ => 0,
        };
        starts = starts.iter().flat_map(|&start| (0..extent).map(move |i| start + i * stride)).collect();
    }
    starts
}
