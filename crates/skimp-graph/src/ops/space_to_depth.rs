//! SpaceToDepth.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Arithmetic, Extent, Shape, Symbols};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::reference::strided::Offsets;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Moves blocks of the image into channels: `[n, c, h, w]` to `[n, c · b², h / b, w / b]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceToDepth {
    /// Rows and columns of a block, b.
    pub block: usize,
    /// Whether the channel of the smaller depth is the slower one (`CRD`), not the place in the block (`DCR`).
    pub channel_first: bool,
}

impl Operator for SpaceToDepth {
    facts!(Moves, 1..=1, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        signature.check_rank("input", x, 4, "(n, c, h, w)")?;
        let b = self.block;
        if b == 0 || !x.shape[2].is_multiple_of(b) || !x.shape[3].is_multiple_of(b) {
            return Err(signature.invalid(format!("an image of {} by {} in blocks of {b}", x.shape[2], x.shape[3])));
        }
        let channels = signature.product(&[x.shape[1], b, b])?;
        Ok(shaped(x, vec![x.shape[0], channels, x.shape[2] / b, x.shape[3] / b]))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let [n, channels, rows, columns] = [0, 1, 2, 3].map(|axis| call.input(0).shape()[axis]);
        let b = self.block;
        let (width, side) = (columns as isize, b as isize);
        let plane = rows as isize * width;
        let image = channels as isize * plane;
        let (across, down) = ([rows / b, columns / b], [side * width, side]);
        let (extents, strides) = if self.channel_first {
            ([n, channels, b, b, across[0], across[1]], vec![image, plane, width, 1, down[0], down[1]])
        } else {
            ([n, b, b, channels, across[0], across[1]], vec![image, width, 1, plane, down[0], down[1]])
        };
        Ok(vec![call.gather(Offsets::new(&extents, strides, 0))?])
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        true
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        let form = form.int("blocksize", i64::try_from(self.block).unwrap_or(i64::MAX));
        // The mode came with opset 28.
        Ok(if self.channel_first { form.since(28).string("mode", "CRD") } else { form })
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        let &[n, c, h, w] = inputs.first()?.as_ref()?.as_slice() else { return None };
        let b = Extent::Known(self.block);
        let area = Extent::Known(self.block.checked_mul(self.block).filter(|&area| area > 0)?);
        let (rows, columns) = (symbols.extent(Arithmetic::Div, h, b), symbols.extent(Arithmetic::Div, w, b));
        Some(vec![n, symbols.product(&[c, area]), rows, columns])
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.first() == Some(&true)
    }
}

impl Definition for SpaceToDepth {
    const NAME: &'static str = "SpaceToDepth";
    const ATTRIBUTES: &'static [&'static str] = &["blocksize", "mode"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let block = node.int("blocksize")?.and_then(|block| usize::try_from(block).ok()).filter(|&block| block > 0);
        let block = block.ok_or_else(|| node.invalid("attribute \"blocksize\" must be positive"))?;
        let channel_first = match node.string("mode")? {
            None | Some("DCR") => false,
            Some("CRD") => true,
            Some(other) => return Err(node.invalid(format!("attribute \"mode\" is \"{other}\""))),
        };
        unary::import(node, importer, Op::SpaceToDepth(Self { block, channel_first }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let (block, channel_first) = (generator.draws.between(1, 2), generator.draws.chance(0.5));
        unary::draw(generator, x, Op::SpaceToDepth(Self { block, channel_first }))
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "space to depth",
            Op::SpaceToDepth(Self { block: 2, channel_first: false }),
            [f(&[1, 2, 2, 2], &[0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0])],
            f(&[1, 8, 1, 1], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]),
        )]
    }
}
