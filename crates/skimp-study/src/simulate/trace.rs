//! Operand values of one layer and image.

use std::sync::Arc;

use skimp_sim::{LayerWorkload, Moment, TraceError, TraceProvider};

/// What is the same for every image of a layer.
#[derive(Debug)]
pub(crate) struct LayerOperands {
    pub(crate) workload: LayerWorkload,
    pub(crate) weights: Arc<[i32]>,
    pub(crate) bias: Arc<[i64]>,
    /// The code of real 0, which padding holds.
    pub(crate) zero_point: i32,
    pub(crate) input_offset: i32,
    /// Whether the codes, before the offset, may be negative.
    pub(crate) codes_signed: bool,
}

/// One image at one layer.
#[derive(Debug)]
pub(crate) struct ImageTrace {
    pub(crate) layer: Arc<LayerOperands>,
    pub(crate) moment: Moment,
    pub(crate) activation: Arc<[i32]>,
    pub(crate) residual: Option<Arc<[i64]>>,
    pub(crate) sums: Arc<[i64]>,
}

impl TraceProvider for ImageTrace {
    fn moment(&self) -> Moment {
        self.moment
    }

    /// With their offset, as multipliers see them.
    fn activation(&self) -> Result<Arc<[i32]>, TraceError> {
        Ok(match self.layer.input_offset {
            0 => self.activation.clone(),
            offset => self.activation.iter().map(|&code| code + offset).collect(),
        })
    }

    fn output_sums(&self) -> Result<Arc<[i64]>, TraceError> {
        Ok(self.sums.clone())
    }

    fn bias(&self) -> Result<Arc<[i64]>, TraceError> {
        Ok(self.layer.bias.clone())
    }

    fn residual(&self) -> Result<Option<Arc<[i64]>>, TraceError> {
        Ok(self.residual.clone())
    }
}
