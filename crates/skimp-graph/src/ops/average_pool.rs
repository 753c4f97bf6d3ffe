//! AveragePool.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, Window, unary, window};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::shape::{TensorType, WindowAxis};
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Mean over a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AveragePool {
    /// Spatial window.
    pub window: Window,
    /// Whether padding counts in the divisor.
    pub count_include_pad: bool,
}

impl Operator for AveragePool {
    facts!(Pools, 1..=1, Float);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.float()?;
        Ok(shaped(x, window::pool_shape(signature, x, &self.window)?))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Float>(
            call: &Call<'_>,
            x: &[T],
            axes: [WindowAxis; 3],
            count_include_pad: bool,
        ) -> Result<Vec<T>, GraphError> {
            let mut y = call.allocate_output()?;
            window::for_each(call, x, &axes, |x, position| {
                let sum = window::indices(axes, position).fold(0.0, |sum, i| sum + x[i].to_f64());
                let n_taps = axes
                    .iter()
                    .zip(position)
                    .map(|(axis, idx)| if count_include_pad { axis.n_padded_taps(idx) } else { axis.taps(idx).len() });
                let count = n_taps.map(|n| n as f64).product::<f64>();
                y.push(T::from_f64(if count > 0.0 { sum / count } else { 0.0 }));
            });
            Ok(y)
        }
        let axes = window::three_axes(call, &self.window)?;
        for_float!(
            call.input(0).data(),
            x => Ok(vec![typed(call, x, axes, self.count_include_pad)?.into()]),
            Err(call.unsupported_type())
        )
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        true
    }

    fn rounding(&self) -> Rounding {
        Rounding::Rounds
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        let dilated = self.window.dilations.iter().any(|&d| d != 1);
        let mut form = window::export(form.since(if dilated { 19 } else { 10 }), &self.window);
        if !dilated {
            // Older operator sets do not have the attribute.
            form.attributes.retain(|attribute| attribute.name != "dilations");
        }
        let ceil_mode = i64::from(self.window.ceil_mode);
        Ok(form.int("ceil_mode", ceil_mode).int("count_include_pad", i64::from(self.count_include_pad)))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        let x = inputs.first()?.as_ref()?;
        window::symbolic(x, &self.window, *x.get(1)?, symbols)
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for AveragePool {
    const NAME: &'static str = "AveragePool";
    const ATTRIBUTES: &'static [&'static str] =
        &["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 1)?;
        let x = importer.value(node, 0)?;
        let window = window::import_pool(node, importer, x)?;
        let count_include_pad = node.flag("count_include_pad", false)?;
        importer.emit(node, Op::AveragePool(Self { window, count_include_pad }), vec![Some(x)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let window = generator.window(&generator.shape(x), true)?;
        let count_include_pad = generator.draws.chance(0.5);
        unary::draw(generator, x, Op::AveragePool(Self { window, count_include_pad }))
    }

    fn cases() -> Vec<Case> {
        let x = f(&[1, 1, 3, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        let average = |window: Window, count_include_pad| Op::AveragePool(Self { window, count_include_pad });
        let ceil = Window { strides: vec![2, 2], ceil_mode: true, ..Window::padded(&[2, 2], &[0, 0]) };
        vec![
            case(
                "average",
                average(Window::padded(&[2, 2], &[0, 0]), false),
                [x.clone()],
                f(&[1, 1, 2, 2], &[3.0, 4.0, 6.0, 7.0]),
            ),
            case(
                "average without padding",
                average(Window::padded(&[2], &[1]), false),
                [f(&[1, 1, 2], &[2.0, 6.0])],
                f(&[1, 1, 3], &[2.0, 4.0, 6.0]),
            ),
            case(
                "average with padding",
                average(Window::padded(&[2], &[1]), true),
                [f(&[1, 1, 2], &[2.0, 6.0])],
                f(&[1, 1, 3], &[1.0, 4.0, 3.0]),
            ),
            // The last window reaches one element beyond the input; that element never counts.
            case(
                "average ceil with padding",
                average(ceil, true),
                [x.clone()],
                f(&[1, 1, 2, 2], &[3.0, 4.5, 7.5, 9.0]),
            ),
        ]
    }
}
