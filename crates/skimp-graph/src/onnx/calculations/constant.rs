//! Constant, in all its attribute forms.

use super::Calculation;
use crate::onnx::import::{Importer, NodeView};
use crate::{GraphError, Tensor};

pub(super) struct Constant;

impl Calculation for Constant {
    fn name(&self) -> &'static str {
        "Constant"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["sparse_value", "value", "value_float", "value_floats", "value_int", "value_ints"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(0, 0)?;
        let n_given = self.attributes().iter().filter(|key| node.has(key)).count();
        if n_given != 1 {
            return Err(node.invalid(format!("{n_given} values, expected one")));
        }
        let tensor = if let Some(proto) = node.tensor("value")? {
            importer.note_packed(importer.only_output(node)?.to_owned().as_str(), proto.data_type);
            importer.convert(proto, &format!("constant \"{}\"", node.name()))?
        } else if let Some(proto) = node.sparse_tensor("sparse_value")? {
            importer.convert_sparse(proto, &format!("constant \"{}\"", node.name()))?
        } else if let Some(value) = node.float("value_float")? {
            Tensor::from_f32(Vec::new(), vec![value])
        } else if let Some(values) = node.floats("value_floats")? {
            Tensor::from_f32(vec![values.len()], values.to_vec())
        } else if let Some(values) = node.ints("value_ints")? {
            Tensor::from_i64(vec![values.len()], values.to_vec())
        } else {
            Tensor::from_i64(Vec::new(), vec![node.int_or("value_int", 0)?])
        };
        importer.bind_constant(node, tensor)
    }
}
