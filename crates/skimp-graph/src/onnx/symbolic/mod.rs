//! Shape arithmetic at import: extents and small integer tensors that may contain an extent nobody knows yet.
//!
//! A [`Symbol`] stands for one unknown, non-negative integer. Sums, products and quotients of symbols are symbols again,
//! the same ones however they came about (see [`polynomial`]); any other result gets a fresh symbol, from which nothing
//! wrong can be derived.

mod polynomial;
mod tensor;

use std::collections::HashMap;

use self::polynomial::Polynomials;
use crate::Graph;

pub(crate) use polynomial::Arithmetic;
pub(crate) use tensor::{SymbolicTensor, normalize_axis};

/// An unknown extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Symbol(u32);

/// An extent of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Known(usize),
    Symbol(Symbol),
}

impl Extent {
    /// The extent, if it is known.
    pub(crate) fn known(self) -> Option<usize> {
        match self {
            Extent::Known(extent) => Some(extent),
            Extent::Symbol(_) => None,
        }
    }
}

/// The shape of a value; `None` where not even the number of axes is known.
pub(crate) type Shape = Option<Vec<Extent>>;

/// Hands out symbols.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    n_symbols: u32,
    named: HashMap<String, Symbol>,
    polynomials: Polynomials,
}

impl Symbols {
    /// A symbol that equals no other.
    pub(crate) fn fresh(&mut self) -> Symbol {
        self.n_symbols += 1;
        Symbol(self.n_symbols)
    }

    /// The symbol of a named extent: one name, one extent. Without a name, a fresh one.
    pub(crate) fn named(&mut self, name: &str) -> Symbol {
        if name.is_empty() {
            return self.fresh();
        }
        if let Some(&symbol) = self.named.get(name) {
            return symbol;
        }
        let symbol = self.fresh();
        self.named.insert(name.to_owned(), symbol);
        symbol
    }
}

/// The shape of every value of a graph, as far as it is certain.
pub(crate) fn infer(graph: &Graph, inputs: &[Shape], symbols: &mut Symbols) -> Vec<Shape> {
    let known = |constant: &crate::Tensor| constant.shape().iter().map(|&n| Extent::Known(n)).collect();
    let mut shapes: Vec<Shape> = graph.values().iter().map(|value| value.constant.as_ref().map(known)).collect();
    for (input, shape) in graph.inputs().iter().zip(inputs) {
        shapes[input.value.0].clone_from(shape);
    }
    for node in graph.nodes() {
        let unknown = None;
        let inputs: Vec<&Shape> = node.inputs.iter().map(|id| id.map_or(&unknown, |id| &shapes[id.0])).collect();
        let inferred = node.op.symbolic_shapes(&inputs, node.outputs.len(), symbols);
        for (output, shape) in node.outputs.iter().zip(inferred) {
            shapes[output.0] = shape;
        }
    }
    shapes
}

/// The extent that makes the product of `shape` that of `x`: symbols that both have cancel out.
pub(crate) fn missing_factor(x: &[Extent], shape: &[Extent], symbols: &mut Symbols) -> Extent {
    let (all, rest) = (symbols.product(x), symbols.product(shape));
    match (all, rest) {
        (_, Extent::Known(0)) => Extent::Symbol(symbols.fresh()),
        (Extent::Known(n), Extent::Known(rest)) if n % rest != 0 => Extent::Symbol(symbols.fresh()),
        (all, rest) => symbols.extent(Arithmetic::Div, all, rest),
    }
}
