//! Parameters of neurons: one number, or one for each neuron.

use skimp_graph::Tensor;

/// A parameter of the neurons of a node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameter {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

impl Parameter {
    pub(crate) fn scalar(value: f64) -> Self {
        Self { shape: Vec::new(), values: vec![value] }
    }

    /// The number, where all are equal.
    pub(crate) fn uniform(&self) -> Option<f64> {
        let (first, others) = self.values.split_first()?;
        others.iter().all(|other| other.to_bits() == first.to_bits()).then_some(*first)
    }

    /// A function of it and another one of the same shape; one number goes with any shape.
    pub(crate) fn zip(&self, other: &Self, function: impl Fn(f64, f64) -> f64) -> Option<Self> {
        let shape = if self.values.len() == 1 { &other.shape } else { &self.shape };
        let n = self.values.len().max(other.values.len());
        let fits = |parameter: &Self| parameter.values.len() == n || parameter.values.len() == 1;
        if !(fits(self) && fits(other)) {
            return None;
        }
        let at = |parameter: &Self, idx: usize| parameter.values[if parameter.values.len() == 1 { 0 } else { idx }];
        let values = (0..n).map(|idx| function(at(self, idx), at(other, idx))).collect();
        Some(Self { shape: shape.clone(), values })
    }

    pub(crate) fn map(&self, function: impl Fn(f64) -> f64) -> Self {
        Self { shape: self.shape.clone(), values: self.values.iter().map(|&value| function(value)).collect() }
    }

    pub(crate) fn tensor(&self) -> Tensor {
        let (shape, values) = match self.uniform() {
            Some(value) => (Vec::new(), vec![value as f32]),
            None => (self.shape.clone(), self.values.iter().map(|&value| value as f32).collect()),
        };
        Tensor::from_f32(shape, values)
    }
}
