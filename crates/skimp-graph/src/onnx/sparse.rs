//! Tensors of which only the elements other than 0 are stored.

use std::path::Path;

use super::proto::SparseTensorProto;
use super::tensor;
use crate::reference::number::for_any;
use crate::{Data, GraphError, Tensor};

/// The dense form of a sparse tensor of the model `file`. `what` names it in errors.
///
/// The places of the elements are indices into all elements in row-major order, or one row of indices for each.
pub(crate) fn to_tensor(
    proto: SparseTensorProto,
    base_dir: Option<&Path>,
    file: &Path,
    what: &str,
) -> Result<Tensor, GraphError> {
    let invalid = |cause: &str| GraphError::InvalidFile { path: file.to_owned(), cause: format!("{what}: {cause}") };
    let shape: Option<Vec<usize>> = proto.dims.iter().map(|&extent| usize::try_from(extent).ok()).collect();
    let shape = shape.ok_or_else(|| invalid("a negative dimension"))?;
    let n_elements = shape.iter().try_fold(1_usize, |n, &extent| n.checked_mul(extent));
    let n_elements = n_elements.ok_or_else(|| invalid("its dimensions overflow"))?;
    let values = proto.values.ok_or_else(|| invalid("a sparse tensor without values"))?;
    let values = tensor::to_tensor(values, base_dir, file, what)?;
    let places = match proto.indices {
        Some(indices) => tensor::to_tensor(indices, base_dir, file, &format!("indices of {what}"))?,
        None => Tensor::from_i64(vec![0], Vec::new()),
    };
    let (Some(indices), n_values) = (places.as_i64(), values.len()) else {
        return Err(invalid("its indices are not i64"));
    };
    let rank = shape.len();
    let linear: Option<Vec<usize>> = if places.shape() == [n_values] {
        indices.iter().map(|&index| usize::try_from(index).ok().filter(|&index| index < n_elements)).collect()
    } else if places.shape() == [n_values, rank] {
        let place = |row: &[i64]| {
            row.iter().zip(&shape).try_fold(0_usize, |place, (&index, &extent)| {
                let index = usize::try_from(index).ok().filter(|&index| index < extent)?;
                Some(place * extent + index)
            })
        };
        if rank == 0 { None } else { indices.chunks(rank).map(place).collect() }
    } else {
        return Err(invalid("as many indices as values, or one row of them for each, are expected"));
    };
    let linear = linear.ok_or_else(|| invalid("an index lies outside of its dimensions"))?;
    // The file does not back the zeros, so that their number is checked before they are made.
    skimp_memory::check(skimp_memory::bytes_of::<f64>(n_elements as u64), || what.to_owned())?;
    let data = for_any!(values.data(), values => {
        let mut dense = vec![Default::default(); n_elements];
        for (&place, &value) in linear.iter().zip(values.iter()) {
            dense[place] = value;
        }
        Data::from(dense)
    });
    Tensor::new(shape, data).ok_or_else(|| invalid("elements do not fill the dimensions"))
}
