//! The element types of training.

use skimp_graph::{Data, Element};

/// An element type that gradients exist for: f32 or f64.
pub trait Real: Element + Default + Send + Sync {
    /// The element, exactly.
    fn to_f64(self) -> f64;

    /// The nearest element, ties to even.
    fn from_f64(value: f64) -> Self;

    /// The elements as tensor data.
    fn data(elements: Vec<Self>) -> Data;
}

impl Real for f32 {
    fn to_f64(self) -> f64 {
        self.into()
    }

    fn from_f64(value: f64) -> Self {
        value as f32
    }

    fn data(elements: Vec<Self>) -> Data {
        elements.into()
    }
}

impl Real for f64 {
    fn to_f64(self) -> f64 {
        self
    }

    fn from_f64(value: f64) -> Self {
        value
    }

    fn data(elements: Vec<Self>) -> Data {
        elements.into()
    }
}
