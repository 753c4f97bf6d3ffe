//! Windows and the extents of layers.
//!
//! A [`WindowAxis`] is a window along one axis with padding and output extent worked out, by the one rule of the
//! workspace. A [`LayerShape`] is what a convolution, a dense layer or a pooling layer looks like from the network file to
//! the report: it is checked when it is made, and its outputs follow from its inputs, so that nothing in it can
//! contradict the rest.

mod layer;
mod window;

pub use layer::{LayerShape, ShapeError, ShapeSpec};
pub use window::{AxisError, Padding, WindowAxis};
