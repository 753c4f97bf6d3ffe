//! Sums and products of symbols.
//!
//! What is computed from symbols is kept as a polynomial with integer factors, and every polynomial has one symbol: `2 · h`
//! is the same extent whether it comes from a concatenation of two images or from a product with 2. A division is exact
//! where the polynomials divide; any other quotient has one symbol for one dividend and divisor.

use std::collections::{BTreeMap, HashMap};

use super::{Extent, Symbol, Symbols};

/// A binary operator of shape arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
}

/// An integer or a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Int(i64),
    Symbol(Symbol),
}

/// Factors by product of symbols (sorted), none of them 0.
type Polynomial = BTreeMap<Vec<Symbol>, i64>;

/// Polynomials with more terms, or terms of more symbols, are not kept: their symbol is a fresh one.
const MOST_TERMS: usize = 8;

/// The symbols behind polynomials, and the other way round.
#[derive(Debug, Default)]
pub(super) struct Polynomials {
    of_symbol: HashMap<Symbol, Polynomial>,
    symbols: HashMap<Polynomial, Symbol>,
    quotients: HashMap<(Polynomial, Polynomial), Symbol>,
}

impl Symbols {
    /// `a op b` of integers; what overflows, and a division by 0, is a number that nobody knows.
    pub(crate) fn combine(&mut self, op: Arithmetic, a: Number, b: Number) -> Number {
        let (a, b) = (self.polynomial(a), self.polynomial(b));
        let result = match op {
            Arithmetic::Add => add(a, &b, 1),
            Arithmetic::Sub => add(a, &b, -1),
            Arithmetic::Mul => multiply(&a, &b),
            Arithmetic::Div => match quotient(&a, &b) {
                Some(exact) => Some(exact),
                None if b.is_empty() => None,
                None => {
                    if let Some(&symbol) = self.polynomials.quotients.get(&(a.clone(), b.clone())) {
                        return Number::Symbol(symbol);
                    }
                    let symbol = self.fresh();
                    self.polynomials.quotients.insert((a, b), symbol);
                    return Number::Symbol(symbol);
                }
            },
        };
        self.number(result)
    }

    /// [`combine`](Self::combine) of extents; a fresh symbol where the result is no extent.
    pub(crate) fn extent(&mut self, op: Arithmetic, a: Extent, b: Extent) -> Extent {
        let number = |extent: Extent| match extent {
            Extent::Known(n) => i64::try_from(n).ok().map(Number::Int),
            Extent::Symbol(s) => Some(Number::Symbol(s)),
        };
        match number(a).zip(number(b)).map(|(a, b)| self.combine(op, a, b)) {
            Some(Number::Symbol(symbol)) => Extent::Symbol(symbol),
            Some(Number::Int(i)) => usize::try_from(i).map_or_else(|_| Extent::Symbol(self.fresh()), Extent::Known),
            None => Extent::Symbol(self.fresh()),
        }
    }

    /// The product of extents.
    pub(crate) fn product(&mut self, extents: &[Extent]) -> Extent {
        extents.iter().fold(Extent::Known(1), |product, &extent| self.extent(Arithmetic::Mul, product, extent))
    }

    fn polynomial(&self, number: Number) -> Polynomial {
        match number {
            Number::Int(0) => Polynomial::new(),
            Number::Int(i) => Polynomial::from([(Vec::new(), i)]),
            Number::Symbol(symbol) => match self.polynomials.of_symbol.get(&symbol) {
                Some(known) => known.clone(),
                None => Polynomial::from([(vec![symbol], 1)]),
            },
        }
    }

    fn number(&mut self, polynomial: Option<Polynomial>) -> Number {
        let kept = |p: &Polynomial| p.len() <= MOST_TERMS && p.keys().all(|product| product.len() <= MOST_TERMS);
        let Some(polynomial) = polynomial.filter(kept) else { return Number::Symbol(self.fresh()) };
        let mut terms = polynomial.iter();
        match (terms.next(), terms.next()) {
            (None, _) => return Number::Int(0),
            (Some((product, &factor)), None) => match (product.as_slice(), factor) {
                ([], factor) => return Number::Int(factor),
                (&[symbol], 1) => return Number::Symbol(symbol),
                _ => {}
            },
            _ => {}
        }
        if let Some(&symbol) = self.polynomials.symbols.get(&polynomial) {
            return Number::Symbol(symbol);
        }
        let symbol = self.fresh();
        self.polynomials.of_symbol.insert(symbol, polynomial.clone());
        self.polynomials.symbols.insert(polynomial, symbol);
        Number::Symbol(symbol)
    }
}

/// `a + sign · b`.
fn add(mut a: Polynomial, b: &Polynomial, sign: i64) -> Option<Polynomial> {
    for (product, factor) in b {
        let sum = a.remove(product).unwrap_or(0).checked_add(factor.checked_mul(sign)?)?;
        if sum != 0 {
            a.insert(product.clone(), sum);
        }
    }
    Some(a)
}

fn multiply(a: &Polynomial, b: &Polynomial) -> Option<Polynomial> {
    let mut result = Polynomial::new();
    for (x, m) in a {
        for (y, n) in b {
            let mut product = [x.as_slice(), y].concat();
            product.sort_unstable();
            result = add(result, &Polynomial::from([(product, m.checked_mul(*n)?)]), 1)?;
        }
    }
    Some(result)
}

/// `a / b` where `b` is one term that divides every term of `a`.
fn quotient(a: &Polynomial, b: &Polynomial) -> Option<Polynomial> {
    let mut terms = b.iter();
    let (Some((divisor, &factor)), None) = (terms.next(), terms.next()) else { return None };
    let mut result = Polynomial::new();
    for (product, n) in a {
        let mut rest = product.clone();
        for symbol in divisor {
            rest.remove(rest.iter().position(|other| other == symbol)?);
        }
        if n.checked_rem(factor)? != 0 {
            return None;
        }
        result.insert(rest, n.checked_div(factor)?);
    }
    Some(result)
}
