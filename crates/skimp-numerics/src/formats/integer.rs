//! Integers with a scale.

use super::{FormatEntry, FormatKind};

pub(super) static INT8_ENTRY: FormatEntry = FormatEntry {
    name: "int8",
    summary: "8-bit integers, real = (code - zero point) * scale",
    source: "Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, \
             CVPR 2018",
    kind: FormatKind::Affine { bits: 8 },
};

pub(super) static INT4_ENTRY: FormatEntry = FormatEntry {
    name: "int4",
    summary: "4-bit integers with a scale for a group along the reduction axis",
    source: "Frantar et al., GPTQ, ICLR 2023",
    kind: FormatKind::Affine { bits: 4 },
};

pub(super) static DFXP_ENTRY: FormatEntry = FormatEntry {
    name: "dfxp",
    summary: "dynamic fixed point: integers times a power of two for a group, moved by the overflow rate",
    source: "Courbariaux, Bengio and David, Training deep neural networks with low precision multiplications, ICLR \
             workshop 2015",
    kind: FormatKind::Fixed { bits: None, exponent_bits: None },
};

pub(super) static FLEX16_ENTRY: FormatEntry = FormatEntry {
    name: "flex16-5",
    summary: "Flexpoint: 16-bit integers with a 5-bit exponent for a tensor",
    source: "Koster et al., Flexpoint: An Adaptive Numerical Format for Efficient Training of Deep Neural Networks, \
             NeurIPS 2017",
    kind: FormatKind::Fixed { bits: Some(16), exponent_bits: Some(5) },
};
