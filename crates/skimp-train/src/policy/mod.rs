//! Precision policies: how each tensor, each sum and each update of a training step is rounded.
//!
//! One object serves one run and holds its scales, histories and counters. The engine asks it at fixed places; the
//! defaults of the trait are plain f32. A policy is a file here and a line in [`POLICIES`].

mod bf16;
mod chunked_fp8;
mod dfxp;
mod flexpoint;
mod fp16;
mod fp32;
mod fp8_ibm;
mod fp8_ocp;
mod hfp8;
mod int8_banner;
mod ledger;
mod loss_scale;
mod mx;
mod mxfp4;
mod mxfp6;
mod mxfp8;
mod switches;
#[cfg(test)]
mod testing;

pub use skimp_cpu::nhwc::{Arithmetic, ChunkedSum, Overflow};

use crate::spec::Spec;
use crate::{Param, TrainError};

/// Every policy, in the order `skimp list` prints them.
pub static POLICIES: &[&dyn PolicyEntry] = &[
    &fp32::Fp32Entry,
    &fp16::Fp16Entry,
    &bf16::Bf16Entry,
    &dfxp::DfxpEntry,
    &flexpoint::FlexpointEntry,
    &fp8_ibm::Fp8IbmEntry,
    &hfp8::Hfp8Entry,
    &int8_banner::Int8BannerEntry,
    &fp8_ocp::Fp8OcpEntry,
    &mxfp8::Mxfp8Entry,
    &mxfp6::Mxfp6Entry,
    &mxfp4::Mxfp4Entry,
];

/// The registration of a policy.
pub trait PolicyEntry: Sync + std::fmt::Debug {
    /// Name on the command line, kebab-case.
    fn name(&self) -> &'static str;
    /// One line for lists.
    fn summary(&self) -> &'static str;
    /// Authors, title, venue, year of the method.
    fn source(&self) -> &'static str;
    /// Names, default values and meaning of the switches that [`create`](PolicyEntry::create) reads.
    fn switches(&self) -> &'static [Switch] {
        &[]
    }
    /// A fresh policy with the switches of `spec`, which is emptied of them.
    ///
    /// # Errors
    /// [`TrainError::Spec`] for a bad value.
    fn create(&self, spec: &mut Spec) -> Result<Box<dyn Policy>, TrainError>;
}

/// A setting of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Name.
    pub name: &'static str,
    /// Value where nothing is set.
    pub default: &'static str,
    /// Meaning and valid values, one line.
    pub summary: &'static str,
}

/// A fresh policy by name, written `name` or `name:switch=value,switch=value`.
///
/// # Errors
/// [`TrainError::Spec`] if the name or a switch is unknown, naming the valid ones, or a value is bad.
pub fn create(text: &str) -> Result<Box<dyn Policy>, TrainError> {
    let mut spec = Spec::parse("policy", text)?;
    let policy = spec.find(POLICIES, |entry| entry.name())?.create(&mut spec)?;
    spec.finish()?;
    Ok(policy)
}

/// A layer as policies see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Index of the layer: all steps of the compiled network, in graph order.
    pub layer: usize,
    /// Name of the graph's node.
    pub name: String,
    /// What the layer computes.
    pub kind: SiteKind,
    /// Whether it is a layer with a GEMM that reads the images, or the first one where none reads them as they are.
    pub is_first: bool,
    /// Whether it is the last layer with a GEMM, which makes the logits.
    pub is_last: bool,
}

/// What a layer computes, as far as precision is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteKind {
    /// A convolution: three GEMMs.
    Conv,
    /// A dense layer: three GEMMs.
    Dense,
    /// A batch normalization.
    BatchNorm,
    /// Anything else (activation, pooling, addition, ...).
    Elementwise,
}

/// One of a layer's three GEMMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pass {
    /// Output from activation and weight.
    Forward,
    /// Gradient of the input from error and weight.
    InputGrad,
    /// Gradient of the weight from activation and error.
    WeightGrad,
}

/// What a tensor is in its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Weight operand of a GEMM.
    Weight,
    /// Bias, added to a GEMM's sums.
    Bias,
    /// Activation operand of a GEMM (the layer's input).
    Activation,
    /// Error operand of a GEMM (the gradient of the layer's output).
    Error,
    /// Result of the weight-gradient GEMM.
    WeightGradient,
    /// Result of a layer's forward computation, as stored.
    Output,
    /// Gradient of a layer's input, as stored.
    InputGradient,
}

/// A tensor at a place where a policy may round it, as a row-major matrix of `rows` x `columns`.
///
/// Activations and errors are `[pixels of all images, channels]`; weights and their gradients
/// `[taps x input channels of a group, output channels of all groups]`.
#[derive(Debug)]
pub struct Operand<'a> {
    /// What the tensor is.
    pub role: Role,
    /// The GEMM that reads (or made) it; [`Pass::Forward`] for [`Role::Output`], [`Pass::InputGrad`] for
    /// [`Role::InputGradient`].
    pub pass: Pass,
    /// The elements, rounded in place.
    pub values: &'a mut [f32],
    /// Rows.
    pub rows: usize,
    /// Columns, contiguous.
    pub columns: usize,
    /// The axis that the GEMM sums over, for formats with blocks.
    pub contraction: Contraction,
}

/// The axis of an [`Operand`] that its GEMM sums over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contraction {
    /// Along a row: blocks are contiguous, and start anew every `run` columns.
    Columns {
        /// Columns that blocks may span: the channels of one group.
        run: usize,
    },
    /// Down a column. Blocks start anew every `run` rows (one kernel tap of a weight, or all rows).
    Rows {
        /// Rows that blocks may span.
        run: usize,
    },
    /// Not an operand of a GEMM.
    None,
}

/// How batch normalization estimates the spread of a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BatchNormKind {
    /// The standard deviation.
    Standard,
    /// The mean over chunks of the batch of the range (maximum − minimum), times a constant.
    ///
    /// # Source
    /// Banner, Hubara, Hoffer and Soudry, "Scalable Methods for 8-bit Training of Neural Networks", NeurIPS 2018,
    /// section 3.
    Range {
        /// Chunks that batch, height and width are cut into.
        n_chunks: usize,
        /// Which constant.
        constant: RangeConstant,
    },
}

/// The constant of [`BatchNormKind::Range`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeConstant {
    /// Of the released code: `0.5 · 0.35 · (1 + sqrt(π · ln 4)) / sqrt(2 · ln n)`, `n` elements per chunk.
    Code,
    /// Of the paper: `1 / sqrt(2 · ln n)`.
    Paper,
}

/// An assignment of the optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// The gradient after weight decay.
    Gradient,
    /// The first moment (velocity).
    Moment1,
    /// The second moment (Adam).
    Moment2,
    /// The parameter.
    Value,
}

/// What to do with the gradients of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Update the parameters.
    Step,
    /// Leave the parameters as they are (a gradient overflowed).
    SkipStep,
}

/// How often rounding lost something, per tensor class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CastCounts {
    /// Class (`weight`, `activation`, `error`, `weight-gradient`, `update`, ...) and its counts, in first-use order.
    pub classes: Vec<(&'static str, CastCount)>,
}

/// Counts of one tensor class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CastCount {
    /// Elements rounded.
    pub elements: u64,
    /// Elements beyond the greatest number.
    pub overflows: u64,
    /// Non-zero elements that became zero.
    pub underflows: u64,
    /// Elements that would have become subnormal and were flushed to zero.
    pub flushed: u64,
}

impl CastCounts {
    /// The counts of a class, made where they are missing.
    pub fn class(&mut self, name: &'static str) -> &mut CastCount {
        let idx = self.classes.iter().position(|(class, _)| *class == name).unwrap_or_else(|| {
            self.classes.push((name, CastCount::default()));
            self.classes.len() - 1
        });
        &mut self.classes[idx].1
    }
}

/// Decides the precision of a training step. One object per run: scales, histories and counters live in it.
///
/// # Determinism
/// Results depend on the arguments and on earlier calls only. The engine calls in a fixed order, from one thread.
pub trait Policy: Send + std::fmt::Debug {
    /// Name of its registration.
    fn name(&self) -> &'static str;

    /// Called before each training forward pass. Random numbers are keyed by seed, step and the operand's place.
    fn begin_step(&mut self, _seed: u64, _step: u64, _n_images: usize) {}

    /// How a GEMM multiplies and adds.
    fn arithmetic(&self, _site: &Site, _pass: Pass) -> Arithmetic {
        Arithmetic::F32
    }

    /// Whether [`cast`](Policy::cast) does anything to such a tensor. Where it does not, the engine makes no copy.
    fn casts(&self, _site: &Site, _role: Role, _pass: Pass) -> bool {
        false
    }

    /// Whether both GEMMs that read a tensor ([`Role::Weight`], [`Role::Activation`], [`Role::Error`]) take the same
    /// rounded copy. If so, `cast` is called once, with the pass that comes first (forward; for errors the input
    /// gradient, or the weight gradient where there is no other).
    fn shares(&self, _site: &Site, _role: Role) -> bool {
        true
    }

    /// Rounds a whole tensor in place: a copy of a GEMM's operand before the GEMM, or a result after it.
    fn cast(&mut self, _site: &Site, _operand: Operand<'_>) {}

    /// Factor on the loss's gradient.
    fn loss_scale(&self) -> f32 {
        1.0
    }

    /// Called when all gradients are there, scaled by [`loss_scale`](Policy::loss_scale): unscales them, looks for
    /// overflow, adjusts scales.
    fn after_backward(&mut self, _params: &mut [Param]) -> Verdict {
        Verdict::Step
    }

    /// Whether [`round_update`](Policy::round_update) does anything. Where it does not, optimizers may fuse.
    fn rounds_updates(&self) -> bool {
        false
    }

    /// Rounds what an optimizer has just assigned for a parameter (in its storage order); `param_idx` is its index.
    fn round_update(&mut self, _param_idx: usize, _role: crate::ParamRole, _kind: Assignment, _values: &mut [f32]) {}

    /// How batch normalization estimates the spread.
    fn batch_norm(&self) -> BatchNormKind {
        BatchNormKind::Standard
    }

    /// What rounding has lost so far.
    fn counts(&self) -> Option<&CastCounts> {
        None
    }

    /// Everything that a resumed run needs, as named vectors of numbers that are kept exactly.
    fn state(&self) -> Vec<(String, Vec<f64>)> {
        Vec::new()
    }

    /// Takes over a [`state`](Policy::state).
    ///
    /// # Errors
    /// [`TrainError::Data`] if it is not one of this policy's.
    fn restore(&mut self, state: &[(String, Vec<f64>)]) -> Result<(), TrainError> {
        if state.is_empty() {
            return Ok(());
        }
        Err(TrainError::Data {
            what: format!("state of policy {}", self.name()),
            expected: "nothing".to_owned(),
            found: format!("{} entries", state.len()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_well_formed() {
        for (i, entry) in POLICIES.iter().enumerate() {
            let name = entry.name();
            assert!(POLICIES[..i].iter().all(|other| other.name() != name), "{name} twice");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
            assert!(!entry.summary().is_empty() && !entry.source().is_empty(), "{name}");
            assert_eq!(create(name).expect("defaults are valid").name(), name);
            for switch in entry.switches() {
                assert!(!switch.summary.is_empty(), "{name}:{}", switch.name);
                let text = format!("{name}:{}={}", switch.name, switch.default);
                assert!(create(&text).is_ok(), "{text}");
                let error = create(&format!("{name}:{}=?", switch.name)).expect_err("not a value").to_string();
                assert!(error.contains(&format!("{}=?: expected ", switch.name)), "{error}");
            }
            // All switches that the policy reads are listed, in order.
            let error = create(&format!("{name}:no-such-switch=1")).expect_err("no such switch").to_string();
            let names: Vec<&str> = entry.switches().iter().map(|switch| switch.name).collect();
            let valid = error.rsplit("valid are ").next().unwrap_or_default();
            let mut read: Vec<&str> = valid.split(", ").filter(|name| *name != "none").collect();
            assert_eq!(read.len(), names.len(), "{error}");
            read.retain(|name| !names.contains(name));
            assert!(read.is_empty(), "{name} reads {read:?}");
        }
    }

    #[test]
    fn the_documentation_lists_every_switch() {
        let text = include_str!("../../../../docs/precision.md");
        for entry in POLICIES {
            assert!(text.contains(&format!("`{}`", entry.name())), "{}", entry.name());
            let (_, section) = text.split_once(&format!("### `{}`", entry.name())).unwrap_or_default();
            for switch in entry.switches() {
                let row = format!("| `{}` | `{}` | {} |", switch.name, switch.default, switch.summary);
                let section = section.split("###").next().unwrap_or_default();
                assert!(section.contains(&row), "{}: docs/precision.md lacks {row}", entry.name());
            }
        }
    }

    #[test]
    fn all_defaults_together_are_the_default() {
        for entry in POLICIES {
            let pairs = entry.switches().iter().map(|switch| format!("{}={}", switch.name, switch.default));
            let text = format!("{}:{}", entry.name(), pairs.collect::<Vec<_>>().join(","));
            let (all, none) = (create(&text).expect("valid"), create(entry.name()).expect("valid"));
            assert_eq!(format!("{all:?}"), format!("{none:?}"), "{text}");
        }
    }

    #[test]
    fn policies_are_found_by_name() {
        assert_eq!(create("fp32").expect("registered").name(), "fp32");
        let error = create("fp99").expect_err("not registered").to_string();
        assert!(
            error.starts_with("unknown policy \"fp99\"") && error.contains("valid are fp32, fp16, bf16"),
            "{error}"
        );
        assert!(create("fp32:chunk").is_err());
    }
}
