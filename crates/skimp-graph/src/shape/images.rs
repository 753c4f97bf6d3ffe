//! Where the axes of images lie.

use crate::{Dim, Graph, GraphInput, rewrite};

/// Axes of an input that holds images `[n, c, h, w]` or `[n, h, w, c]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageAxes {
    /// Of the channels.
    pub channels: usize,
    /// Of the rows.
    pub height: usize,
    /// Of the columns.
    pub width: usize,
}

impl ImageAxes {
    /// `[n, c, h, w]`.
    pub const CHANNELS_FIRST: Self = Self { channels: 1, height: 2, width: 3 };
    /// `[n, h, w, c]`.
    pub const CHANNELS_LAST: Self = Self { channels: 3, height: 1, width: 2 };

    /// The axes of an input of four; `None` for another one.
    ///
    /// Channels come last where the network turns its input so for its first layer, as exporters of Keras and TensorFlow
    /// write it, and first where that layer takes the input as it is. Where no layer tells (the image is flattened at
    /// once), the axis that the network fixes to 1, 3 or 4 holds the channels; of two such axes the first one.
    pub fn of(graph: &Graph, input: &GraphInput) -> Option<Self> {
        let [_, first, _, last] = input.dims.as_slice() else { return None };
        let by_extents = || {
            let is_few = |dim: &Dim| matches!(dim, Dim::Fixed(1 | 3 | 4));
            is_few(last) && !is_few(first)
        };
        let is_last = rewrite::takes_channels_last(graph, input.value).unwrap_or_else(by_extents);
        Some(if is_last { Self::CHANNELS_LAST } else { Self::CHANNELS_FIRST })
    }

    /// Whether the channels come last.
    pub fn is_channels_last(self) -> bool {
        self == Self::CHANNELS_LAST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{self, Transpose};
    use crate::{DType, GraphBuilder, Op, Tensor, Window};

    /// What reads the input: a layer, or nothing but a flattening.
    fn axes(dims: [Dim; 4], perm: Option<[usize; 4]>, has_layer: bool) -> ImageAxes {
        let mut builder = GraphBuilder::new("images");
        let x = builder.input("x", DType::F32, dims.to_vec());
        let half = builder.constant("half", Tensor::from_f32(vec![], vec![0.5]));
        let mut y = builder.node("scaled", Op::Mul, &[x, half]);
        if let Some(perm) = perm {
            y = builder.node("turned", Op::Transpose(Transpose { perm: perm.to_vec() }), &[y]);
        }
        if has_layer {
            let window = Window::padded(&[1, 1], &[0, 0]);
            y = builder.node("pool", Op::MaxPool(ops::MaxPool { window }), &[y]);
        }
        let flat = builder.node("flat", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
        builder.output(flat);
        let graph = builder.build().unwrap();
        ImageAxes::of(&graph, &graph.inputs()[0]).unwrap()
    }

    #[test]
    fn the_first_layer_tells_or_else_the_extents() {
        let free = |name: &str| Dim::Free(name.to_owned());
        let open = |c: usize| [free("n"), free("h"), free("w"), Dim::Fixed(c)];
        let last = Some([0, 3, 1, 2]);
        assert_eq!(axes(open(3), last, true), ImageAxes::CHANNELS_LAST);
        // 3 rows, 3 columns, 7 channels: only the transpose tells.
        assert_eq!(
            axes([free("n"), Dim::Fixed(3), Dim::Fixed(3), Dim::Fixed(7)], last, true),
            ImageAxes::CHANNELS_LAST
        );
        // A layer that takes it as it is: 3 columns.
        assert_eq!(
            axes([free("n"), Dim::Fixed(8), Dim::Fixed(9), Dim::Fixed(3)], None, true),
            ImageAxes::CHANNELS_FIRST
        );
        assert_eq!(
            axes([free("n"), Dim::Fixed(8), Dim::Fixed(9), Dim::Fixed(3)], None, false),
            ImageAxes::CHANNELS_LAST
        );
        assert_eq!(
            axes([free("n"), Dim::Fixed(3), Dim::Fixed(9), Dim::Fixed(3)], None, false),
            ImageAxes::CHANNELS_FIRST
        );
        assert_eq!(
            axes([free("n"), Dim::Fixed(8), Dim::Fixed(9), Dim::Fixed(9)], None, false),
            ImageAxes::CHANNELS_FIRST
        );
    }
}
