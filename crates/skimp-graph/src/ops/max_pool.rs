//! MaxPool.

use crate::onnx::export::{Context, Form};
use crate::onnx::functions::Steps;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, Window, global_pool, unary, window};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::shape::{TensorType, WindowAxis, window_axes};
use crate::testing::{Case, Generator, case, f, t};
use crate::{Data, GraphError};

/// Maximum over a window; padding never wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Spatial window.
    pub window: Window,
}

impl Operator for MaxPool {
    facts!(Pools, 1..=1, Number);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.number()?;
        Ok(shaped(x, window::pool_shape(signature, x, &self.window)?))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Number>(call: &Call<'_>, x: &[T], axes: [WindowAxis; 3]) -> Result<Vec<T>, GraphError> {
            let mut y = call.allocate_output()?;
            window::for_each(call, x, &axes, |x, position| {
                y.push(window::indices(axes, position).fold(T::LOWEST, |most, i| global_pool::larger(most, x[i])));
            });
            Ok(y)
        }
        let axes = window::three_axes(call, &self.window)?;
        for_number!(call.input(0).data(), x => Ok(vec![typed(call, x, axes)?.into()]), Err(call.unsupported_type()))
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        true
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        let form = window::export(form.since(12), &self.window);
        Ok(form.int("ceil_mode", i64::from(self.window.ceil_mode)))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        let x = inputs.first()?.as_ref()?;
        window::symbolic(x, &self.window, *x.get(1)?, symbols)
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for MaxPool {
    const NAME: &'static str = "MaxPool";
    const ATTRIBUTES: &'static [&'static str] =
        &["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 1)?;
        let x = importer.value(node, 0)?;
        let window = window::import_pool(node, importer, x)?;
        let op = Op::MaxPool(Self { window: window.clone() });
        if !node.outputs().get(1).is_some_and(|name| !name.is_empty() && importer.is_read(name)) {
            return importer.emit(node, op, vec![Some(x)]);
        }
        let known: Option<Vec<usize>> =
            importer.shape(x).as_ref().and_then(|shape| shape.get(2..)?.iter().map(|extent| extent.known()).collect());
        let spatial = known.ok_or_else(|| {
            node.unsupported("its Indices output for an open height or width: export with fixed ones")
        })?;
        let axes = window_axes(&op, node.name(), &window, &spatial)?;
        importer.emit_all(node, op, vec![Some(x)], node.output_names(0, 1))?;
        Steps::new(node, importer).max_pool_indices(&axes)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let window = generator.window(&generator.shape(x), true)?;
        unary::draw(generator, x, Op::MaxPool(Self { window }))
    }

    fn cases() -> Vec<Case> {
        let x = f(&[1, 1, 3, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        let max = |window| Op::MaxPool(Self { window });
        let ceil = Window { strides: vec![2, 2], ceil_mode: true, ..Window::padded(&[2, 2], &[0, 0]) };
        // Without the rule, 2 of 3 windows would start in the end padding.
        let ceil_padded = Window { strides: vec![2], ceil_mode: true, ..Window::padded(&[2], &[1]) };
        let wide = Window { strides: vec![2], ceil_mode: true, ..Window::padded(&[3], &[0]) };
        let dilated = Window { dilations: vec![2, 2], ..Window::padded(&[2, 2], &[0, 0]) };
        vec![
            case("max", max(Window::padded(&[2, 2], &[0, 0])), [x.clone()], f(&[1, 1, 2, 2], &[5.0, 6.0, 8.0, 9.0])),
            case("max ceil", max(ceil), [x.clone()], f(&[1, 1, 2, 2], &[5.0, 6.0, 8.0, 9.0])),
            case(
                "max, padding never wins",
                max(Window::padded(&[2], &[1])),
                [f(&[1, 1, 2], &[-1.0, -2.0])],
                f(&[1, 1, 3], &[-1.0, -1.0, -2.0]),
            ),
            case(
                "max ceil, no window starts in the padding",
                max(ceil_padded),
                [f(&[1, 1, 3], &[3.0, 1.0, 2.0])],
                f(&[1, 1, 2], &[3.0, 2.0]),
            ),
            case("max dilated", max(dilated), [x.clone()], f(&[1, 1, 1, 1], &[9.0])),
            case("max ceil, wider than the input", max(wide), [f(&[1, 1, 2], &[3.0, 4.0])], f(&[1, 1, 1], &[4.0])),
            case(
                "max u8",
                max(Window::padded(&[2], &[0])),
                [t(&[1, 1, 3], &[1_u8, 200, 3])],
                t(&[1, 1, 2], &[200_u8, 200]),
            ),
        ]
    }
}
