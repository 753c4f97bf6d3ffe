//! Block formats: a few narrow elements share a scale.

mod mx;
mod nvfp4;

pub use mx::{
    BlockAxis, BlockInfinity, EncodedBlock, MX_BLOCK, MxCast, MxElement, ScaleRule, e8m0_decode, e8m0_encode,
};
pub use nvfp4::{NVFP4_BLOCK, Nvfp4Block, Nvfp4Cast, Nvfp4SmallScale};
