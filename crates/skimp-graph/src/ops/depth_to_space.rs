//! DepthToSpace.

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

/// Moves channels into blocks of the image: `[n, c, h, w]` to `[n, c / b², h · b, w · b]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthToSpace {
    /// Rows and columns of a block, b.
    pub block: usize,
    /// Whether the channel of the smaller depth is the slower one (`CRD`), not the place in the block (`DCR`).
    pub channel_first: bool,
}

impl Operator for DepthToSpace {
    facts!(Moves, 1..=1, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        signature.check_rank("input", x, 4, "(n, c, h, w)")?;
        let b = self.block;
        let area = b.checked_mul(b).filter(|&area| area > 0 && x.shape[1].is_multiple_of(area));
        let area = area.ok_or_else(|| signature.invalid(format!("{} channels in blocks of {b} · {b}", x.shape[1])))?;
        let rows = signature.product(&[x.shape[2], b])?;
        let columns = signature.product(&[x.shape[3], b])?;
        Ok(shaped(x, vec![x.shape[0], x.shape[1] / area, rows, columns]))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let [n, channels, rows, columns] = [0, 1, 2, 3].map(|axis| call.input(0).shape()[axis]);
        let b = self.block;
        let inner = channels / (b * b);
        let plane = (rows * columns) as isize;
        let depth = inner as isize;
        let side = b as isize;
        // Steps of the channel, of the row and of the column within a block.
        let [channel, row, column] =
            if self.channel_first { [side * side, side, 1] } else { [1, side * depth, depth] }.map(|step| step * plane);
        let extents = [n, inner, rows, b, columns, b];
        let strides = vec![channels as isize * plane, channel, columns as isize, row, 1, column];
        Ok(vec![call.gather(Offsets::new(&extents, strides, 0))?])
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        true
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        let form = form.since(11).int("blocksize", i64::try_from(self.block).unwrap_or(i64::MAX));
        Ok(form.string("mode", if self.channel_first { "CRD" } else { "DCR" }))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        let &[n, c, h, w] = inputs.first()?.as_ref()?.as_slice() else { return None };
        let b = Extent::Known(self.block);
        let area = Extent::Known(self.block.checked_mul(self.block).filter(|&area| area > 0)?);
        let channels = symbols.extent(Arithmetic::Div, c, area);
        Some(vec![n, channels, symbols.product(&[h, b]), symbols.product(&[w, b])])
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.first() == Some(&true)
    }
}

impl Definition for DepthToSpace {
    const NAME: &'static str = "DepthToSpace";
    const ATTRIBUTES: &'static [&'static str] = &["blocksize", "mode"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let block = node.int("blocksize")?.and_then(|block| usize::try_from(block).ok()).filter(|&block| block > 0);
        let block = block.ok_or_else(|| node.invalid("attribute \"blocksize\" must be positive"))?;
        let channel_first = match node.string("mode")? {
            None | Some("DCR") => false,
            Some("CRD") => true,
            Some(other) => return Err(node.invalid(format!("attribute \"mode\" is \"{other}\""))),
        };
        unary::import(node, importer, Op::DepthToSpace(Self { block, channel_first }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let (block, channel_first) = (generator.draws.between(1, 2), generator.draws.chance(0.5));
        unary::draw(generator, x, Op::DepthToSpace(Self { block, channel_first }))
    }

    fn cases() -> Vec<Case> {
        vec![
            case(
                "depth to space",
                Op::DepthToSpace(Self { block: 2, channel_first: false }),
                [f(&[1, 8, 1, 1], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])],
                f(&[1, 2, 2, 2], &[0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0]),
            ),
            case(
                "depth to space, channel first",
                Op::DepthToSpace(Self { block: 2, channel_first: true }),
                [f(&[1, 8, 1, 1], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])],
                f(&[1, 2, 2, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]),
            ),
        ]
    }
}
