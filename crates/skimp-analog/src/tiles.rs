//! How the weights of a layer are spread over tiles of one size.

use crate::AnalogError;

/// A layer of `inputs` x `outputs` weights on tiles that hold `rows` inputs of `columns` outputs each.
///
/// Row tiles part the inputs in their order, column tiles the outputs; the last one of either takes the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    inputs: usize,
    outputs: usize,
    rows: usize,
    columns: usize,
}

impl Tiling {
    /// The layer's tiles.
    ///
    /// # Errors
    /// [`AnalogError::Tiling`] naming what is 0.
    pub fn new([inputs, outputs]: [usize; 2], [rows, columns]: [usize; 2]) -> Result<Self, AnalogError> {
        let extents =
            [("inputs", inputs), ("outputs", outputs), ("rows of a tile", rows), ("columns of a tile", columns)];
        match extents.into_iter().find(|&(_, extent)| extent == 0) {
            Some((what, _)) => Err(AnalogError::Tiling { what }),
            None => Ok(Self { inputs, outputs, rows, columns }),
        }
    }

    /// Inputs of the layer.
    pub fn inputs(self) -> usize {
        self.inputs
    }

    /// Outputs of the layer.
    pub fn outputs(self) -> usize {
        self.outputs
    }

    /// Inputs of a tile.
    pub fn rows(self) -> usize {
        self.rows
    }

    /// Outputs of a tile.
    pub fn columns(self) -> usize {
        self.columns
    }

    /// Tiles that share an output: partial sums to be combined.
    pub fn row_tiles(self) -> usize {
        self.inputs.div_ceil(self.rows)
    }

    /// Tiles that share an input.
    pub fn column_tiles(self) -> usize {
        self.outputs.div_ceil(self.columns)
    }

    /// All tiles.
    pub fn tiles(self) -> usize {
        self.row_tiles() * self.column_tiles()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 784-512-256-10 on tiles of 27 inputs: 535,040 weights, 642 tiles of 32 outputs or 1,274 of 16.
    #[test]
    fn tiles_of_the_perceptron() {
        let layers = [[784, 512], [512, 256], [256, 10]];
        assert_eq!(layers.iter().map(|[n, k]| n * k).sum::<usize>(), 535_040);
        let of = |columns: usize| {
            let tilings = layers.map(|layer| Tiling::new(layer, [27, columns]).unwrap());
            (tilings.map(|t| [t.row_tiles(), t.column_tiles()]), tilings.iter().map(|t| t.tiles()).sum::<usize>())
        };
        assert_eq!(of(32), ([[30, 16], [19, 8], [10, 1]], 642));
        assert_eq!(of(16), ([[30, 32], [19, 16], [10, 1]], 1274));
        let text = |layer, tile| Tiling::new(layer, tile).unwrap_err().to_string();
        assert_eq!(text([784, 512], [0, 32]), "tiles of a layer: rows of a tile is 0, expected at least 1");
        assert!(text([0, 512], [27, 32]).contains("inputs is 0"));
    }
}
