//! Operators that only move elements.

use skimp_graph::{Data, GraphError, Op, Pad, Tensor};

use super::Exact;

/// Where each output element of a moving operator comes from.
///
/// Found by handing the graph's interpreter the indices of the elements in place of the elements.
pub(super) struct Movement {
    /// First index of each input; the last entry is the total.
    starts: Vec<usize>,
    /// For each output and element, the index of its source, or −1 for a constant.
    sources: Vec<Vec<i64>>,
}

impl Movement {
    pub(super) fn new(call: &Exact<'_>) -> Result<Self, GraphError> {
        let mut starts = vec![0];
        let mut indices = Vec::new();
        for idx in 0..call.shapes.len() {
            let start = starts[idx];
            let end = start + call.input(idx).len();
            let elements: Vec<i64> = (start as i64..end as i64).collect();
            indices.push(Tensor::new(call.shape(idx).to_vec(), Data::from(elements)));
            starts.push(end);
        }
        let op = match call.op {
            Op::Pad(pad) => Op::Pad(Pad { value: -1.0, ..pad.clone() }),
            // To its own type, since Exact::new refuses others.
            Op::Cast(_) => Op::Identity,
            op => op.clone(),
        };
        let inputs: Vec<Option<&Tensor>> = indices.iter().map(Option::as_ref).collect();
        let outputs = skimp_graph::reference::evaluate(&op, call.node, &inputs)?;
        let sources = outputs.iter().map(|output| output.as_i64().expect("movement keeps the type").to_vec()).collect();
        Ok(Self { starts, sources })
    }

    /// Every error goes to the source of its element.
    pub(super) fn gradients(&self, errors: &[Vec<f64>]) -> Vec<Option<Vec<f64>>> {
        let mut all = vec![0.0; self.starts.last().copied().unwrap_or(0)];
        for (sources, errors) in self.sources.iter().zip(errors) {
            for (&source, error) in sources.iter().zip(errors) {
                if let Ok(source) = usize::try_from(source) {
                    all[source] += error;
                }
            }
        }
        self.starts.windows(2).map(|bounds| Some(all[bounds[0]..bounds[1]].to_vec())).collect()
    }
}
