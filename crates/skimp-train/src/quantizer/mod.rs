//! Quantizers: in which form a trained network comes out, and how it is trained to that form.
//!
//! A [`Quantizer`] makes the training network of a float one ([`Quantizer::prepare`]), says how its layers are compiled
//! ([`Quantizer::options`]) and what happens around updates ([`Quantizer::hook`]), and writes the result as plain operators
//! ([`Quantizer::export`]). One is a file here and a line in [`QUANTIZERS`].

mod activation;
mod blocks;
mod bnn;
mod bnn01;
mod bsnn;
mod bwn;
mod export;
mod float;
mod fold;
mod hooks;
mod int;
mod qdq;
mod settings;
mod snn;
mod surrogate;
mod weight;
mod xnor;

use skimp_graph::spiking::Temporal;
use skimp_graph::{Graph, Op, ops};

pub use activation::{ActivationCodes, ActivationStep};
pub use settings::{Activations, Ends, Latents, OverTime, Padding, Weights};
pub use surrogate::{SURROGATES, Surrogate, SurrogateKind, surrogate_names};
pub(crate) use weight::output_channels;
pub use weight::{SignGradient, SignScale, WeightForm, WeightStep, max_code};

use self::blocks::Chain;
use self::hooks::{Centered, Latent, Rule};
use crate::noise::{DeviceNoise, Drive, LayerNoise};
use crate::optimizer::ParamHook;
use crate::policy::Switch;
use crate::reference::{SignTraining, SignValues};
use crate::spec::Spec;
use crate::{Model, ModelOptions, Param, TrainError};

/// Every quantizer, in the order `skimp list` prints them.
pub static QUANTIZERS: &[&dyn QuantizerEntry] = &[
    &float::FloatEntry,
    &bwn::BwnEntry,
    &bnn::BnnEntry,
    &bnn01::Bnn01Entry,
    &xnor::XnorEntry,
    &snn::SnnEntry,
    &bsnn::BsnnEntry,
    &int::IntEntry(2),
    &int::IntEntry(3),
    &int::IntEntry(4),
    &int::IntEntry(5),
    &int::IntEntry(6),
    &int::IntEntry(7),
    &int::IntEntry(8),
];

/// Name of the node that makes codes of images, and bits of the codes.
const INPUT_CODES: &str = "input.codes";
const INPUT_BITS: u32 = 8;

/// The greatest share by which one update changes a step between codes: Adam moves all numbers alike, and steps are small.
const STEP_SHARE: f32 = 0.01;

/// Key of an exported network's metadata under which its quantizer stands.
pub const QUANTIZER_KEY: &str = "skimp.quantizer";

/// The registration of a quantizer.
pub trait QuantizerEntry: Sync + std::fmt::Debug {
    /// Name on the command line, kebab-case.
    fn name(&self) -> &'static str;
    /// One line for lists.
    fn summary(&self) -> &'static str;
    /// Authors, title, venue, year of the method.
    fn source(&self) -> &'static str;
    /// Values of a weight, in words.
    fn weights(&self) -> &'static str;
    /// Values of an activation, in words.
    fn activations(&self) -> &'static str;
    /// Names, default values and meaning of the settings that [`create`](QuantizerEntry::create) reads.
    fn switches(&self) -> Vec<Switch>;
    /// The quantizer with the settings of `spec`, which is emptied of them.
    ///
    /// # Errors
    /// [`TrainError::Spec`] for a bad value.
    fn create(&self, spec: &mut Spec) -> Result<Quantizer, TrainError>;
}

/// A quantizer by name, written `name` or `name:setting=value,setting=value`.
///
/// # Errors
/// [`TrainError::Spec`] if the name or a setting is unknown, naming the valid ones, or a value is bad.
pub fn create(text: &str) -> Result<Quantizer, TrainError> {
    let mut spec = Spec::parse("quantizer", text)?;
    let quantizer = spec.find(QUANTIZERS, |entry| entry.name())?.create(&mut spec)?;
    spec.finish()?;
    Ok(Quantizer { text: text.to_owned(), ..quantizer })
}

/// The form of a trained network, and how it is trained to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantizer {
    /// Name of its registration.
    pub name: &'static str,
    /// As it was written.
    pub text: String,
    /// Form of the weights.
    pub weights: Weights,
    /// Form of the activations.
    pub activations: Activations,
    /// What the padding of convolutions that read activations is filled with.
    pub padding: Padding,
    /// Weights of the first and the last layer.
    pub ends: Ends,
    /// Bits of the weights of single layers, by name or by the beginning of one with a `*` behind it; the last one that fits
    /// counts.
    pub layer_bits: Vec<(String, u32)>,
    /// How the weights that learn are kept.
    pub latents: Latents,
    /// Time steps of spiking activations.
    pub time: OverTime,
    /// What cells add to sums in training.
    pub noise: Option<DeviceNoise>,
}

impl Quantizer {
    /// The networks' own form: all real.
    fn float(name: &'static str) -> Self {
        Self {
            name,
            text: name.to_owned(),
            weights: Weights::Real,
            activations: Activations::Rectifier,
            padding: Padding::Zero,
            ends: Ends::Same,
            layer_bits: Vec::new(),
            latents: Latents::default(),
            time: OverTime::default(),
            noise: None,
        }
    }

    /// The network that is trained for a float one: one chain of blocks of a layer without bias, its pools, a batch
    /// normalization (added where there is none) and the activation.
    ///
    /// # Errors
    /// [`TrainError::Untrainable`] or [`TrainError::Network`] naming what does not fit into such a chain.
    pub fn prepare(&self, graph: &Graph) -> Result<Graph, TrainError> {
        if let Some(found) = graph.metadata(QUANTIZER_KEY) {
            let cause = format!("it is the result of quantizer {found} already; --resume goes on from its checkpoint");
            return Err(TrainError::Network { network: graph.name().to_owned(), cause });
        }
        let mut chain = Chain::read(graph)?.trainable(&self.activation_op(), self.padding.value())?;
        self.check_layers(&chain)?;
        let n_blocks = chain.blocks.len();
        for (idx, block) in chain.blocks.iter_mut().enumerate() {
            if let Some(WeightForm::Sign { .. }) = self.form((idx, &block.layer.0), n_blocks, 1) {
                let elements = block.weight.as_f32().unwrap_or_default().iter().map(|w| w * self.latents.scale);
                block.weight = skimp_graph::Tensor::from_f32(block.weight.shape().to_vec(), elements.collect());
            }
        }
        if matches!(self.activations, Activations::Codes { .. }) {
            chain.head.push((INPUT_CODES.to_owned(), Op::Identity));
        }
        let graph = chain.build()?;
        if !self.runs_over_time() {
            return Ok(graph);
        }
        let temporal = Temporal::new(self.time.steps).map_err(|cause| TrainError::Option {
            name: "steps".to_owned(),
            expected: "a number of time steps".to_owned(),
            found: cause,
        })?;
        Ok(temporal.on(graph))
    }

    /// Checks that every width of single layers has one.
    fn check_layers(&self, chain: &Chain) -> Result<(), TrainError> {
        let names = || chain.blocks.iter().map(|block| block.layer.0.as_str());
        match self.layer_bits.iter().find(|(pattern, _)| !names().any(|name| fits(pattern, name))) {
            None => Ok(()),
            Some((pattern, bits)) => Err(TrainError::Option {
                name: "layers".to_owned(),
                expected: format!("names of {}", names().collect::<Vec<_>>().join(", ")),
                found: format!("{pattern}={bits}"),
            }),
        }
    }

    /// The nodes whose output is in codes.
    fn codes(&self, chain: &Chain) -> Vec<(String, ActivationCodes)> {
        let Activations::Codes { bits, step } = self.activations else { return Vec::new() };
        // Images have a range that is measured, where the range of activations is learned from what lies beyond.
        let input = match step {
            ActivationStep::Pact { .. } => ActivationStep::Range { momentum: 0.1 },
            ActivationStep::Learned | ActivationStep::Range { .. } => step,
        };
        let input = ActivationCodes { bits: INPUT_BITS, is_signed: true, step: input };
        let names = chain.blocks.iter().filter_map(|block| block.activation.as_ref());
        let others = names.map(|(name, _)| (name.clone(), ActivationCodes { bits, is_signed: false, step }));
        std::iter::once((INPUT_CODES.to_owned(), input)).chain(others).collect()
    }

    fn activation_op(&self) -> Op {
        match self.activations {
            Activations::Rectifier => Op::Relu,
            Activations::Sign(_) if self.runs_over_time() => Op::Neuron(self.time.neuron),
            Activations::Sign(_) => Op::Sign,
            Activations::Codes { .. } => Op::Clip(ops::Clip { min: Some(0.0), max: None }),
        }
    }

    /// What stands for the weight of layer `idx` of so many, of `inputs` input channels.
    fn form(&self, (idx, name): (usize, &str), n_layers: usize, inputs: usize) -> Option<WeightForm> {
        let is_end = idx == 0 || idx + 1 == n_layers;
        let own = self.layer_bits.iter().rev().find(|(pattern, _)| fits(pattern, name));
        match (self.weights, self.ends) {
            (Weights::Real, _) => None,
            (Weights::Codes { step, .. }, _) if own.is_some() => own.map(|&(_, bits)| WeightForm::Codes { bits, step }),
            (_, Ends::Real) if is_end => None,
            (Weights::Sign { scale, is_scaled }, _) => {
                let gradient = if is_scaled { SignGradient::Scaled { inputs } } else { SignGradient::Straight };
                Some(WeightForm::Sign { scale, gradient })
            }
            (Weights::Codes { step, .. }, Ends::Bits(bits)) if is_end => Some(WeightForm::Codes { bits, step }),
            (Weights::Codes { bits, step }, _) => Some(WeightForm::Codes { bits, step }),
        }
    }

    /// How a network that [`prepare`](Quantizer::prepare) made is compiled.
    ///
    /// # Errors
    /// As [`prepare`](Quantizer::prepare), for any other network.
    pub fn options(&self, prepared: &Graph, mut options: ModelOptions) -> Result<ModelOptions, TrainError> {
        let chain = Chain::read(prepared)?;
        let n_blocks = chain.blocks.len();
        for (idx, block) in chain.blocks.iter().enumerate() {
            let inputs = block.weight.shape().get(1).copied().unwrap_or(1);
            let Some(form) = self.form((idx, &block.layer.0), n_blocks, inputs) else { continue };
            options.weights.insert(block.layer.0.clone(), form);
            if let Some(noise) = self.noise {
                let drive = self.drive(idx, matches!(block.layer.1, Op::Conv(_)));
                options.noise.insert(block.layer.0.clone(), LayerNoise { noise, drive });
            }
        }
        if let Activations::Sign(sign) = self.activations {
            options.sign = sign;
            options.detaches_reset = self.time.detaches;
        }
        options.codes.extend(self.codes(&chain));
        Ok(options)
    }

    /// What is to be done around every update of the compiled network; `None` for nothing.
    ///
    /// # Errors
    /// As [`prepare`](Quantizer::prepare), for any other network.
    pub fn hook(&self, model: &Model) -> Result<Option<Box<dyn ParamHook>>, TrainError> {
        let chain = Chain::read(&model.to_graph()?)?;
        let n_blocks = chain.blocks.len();
        let rule = |param: &Param| {
            let found = chain.blocks.iter().enumerate().find(|(_, block)| param.name() == block.weight_name());
            if let Some((idx, block)) = found {
                let columns = output_channels(param);
                let inputs = block.weight.shape()[1];
                let Some(WeightForm::Sign { .. }) = self.form((idx, &block.layer.0), n_blocks, inputs) else {
                    return Rule::NONE;
                };
                let taps = (block.fan_in() / inputs) as f32;
                let fans = taps * (inputs + columns) as f32;
                let Latents { clip, glorot, center, .. } = self.latents;
                return Rule {
                    rate: glorot.then(|| (fans / 1.5).sqrt()),
                    share: None,
                    limits: [-clip, clip],
                    center: center.then_some(Centered { columns, inputs }),
                };
            }
            // A threshold can only be taken through a greatest value by a factor that is not negative.
            let pooled = chain.blocks.iter().filter(|block| !block.pools.is_empty());
            let mut norms = pooled.filter_map(|block| block.norm.as_ref());
            let is_pooled = norms.any(|norm| param.name() == format!("{}.scale", norm.name));
            if is_pooled && !matches!(self.activations, Activations::Rectifier) {
                return Rule { limits: [0.0, f32::INFINITY], ..Rule::NONE };
            }
            if param.role() == crate::ParamRole::Step {
                return Rule { share: Some(STEP_SHARE), limits: [1e-8, f32::INFINITY], ..Rule::NONE };
            }
            Rule::NONE
        };
        let latent = Latent::new(model, rule);
        Ok(latent.acts().then(|| Box::new(latent) as Box<dyn ParamHook>))
    }

    /// The trained network in its own form, of operators that any runtime has.
    ///
    /// # Errors
    /// As [`prepare`](Quantizer::prepare), for any other network.
    pub fn export(&self, model: &Model) -> Result<Graph, TrainError> {
        let graph = export::export(self, model)?;
        Ok(graph.with_metadata(QUANTIZER_KEY, &self.text))
    }

    /// Checks that the network can be trained in the arithmetic of a precision policy.
    ///
    /// # Errors
    /// [`TrainError::Option`] for a combination that does not exist.
    pub fn check_precision(&self, policy: &str) -> Result<(), TrainError> {
        if self.weights == Weights::Real && self.activations == Activations::Rectifier || policy == "fp32" {
            return Ok(());
        }
        Err(TrainError::Option {
            name: "precision".to_owned(),
            expected: format!("fp32 with quantizer {} (float goes with every policy)", self.name),
            found: policy.to_owned(),
        })
    }

    /// The quantizer with cells that deviate in training.
    ///
    /// # Errors
    /// [`TrainError::Option`] for one whose weights are not ±1.
    pub fn with_noise(self, noise: DeviceNoise) -> Result<Self, TrainError> {
        if !matches!(self.weights, Weights::Sign { .. }) {
            return Err(TrainError::Option {
                name: "noise".to_owned(),
                expected: "none, or a quantizer whose weights are ±1 (skimp list quantizers)".to_owned(),
                found: format!("quantizer {}, whose weights are {}", self.name, self.weights_in_words()),
            });
        }
        Ok(Self { noise: Some(noise), ..self })
    }

    fn weights_in_words(&self) -> &'static str {
        QUANTIZERS.iter().find(|entry| entry.name() == self.name).map_or("others", |entry| entry.weights())
    }

    /// How the inputs of layer `idx` reach the rows of a crossbar. Beside signs, padding with 0 is a third value.
    fn drive(&self, idx: usize, is_convolution: bool) -> Drive {
        let signs = SignValues::PlusMinusOne;
        let are_signs = matches!(self.activations, Activations::Sign(SignTraining { values, .. }) if values == signs);
        match idx {
            0 => Drive::Values { are_images: true },
            _ if are_signs && !(is_convolution && self.padding == Padding::Zero) => Drive::Signs,
            _ => Drive::Values { are_images: false },
        }
    }

    /// Whether the network has several time steps.
    fn runs_over_time(&self) -> bool {
        self.time.steps > 1
    }

    /// Whether activations are 0 and 1.
    fn is_spiking(&self) -> bool {
        matches!(self.activations, Activations::Sign(SignTraining { values: SignValues::ZeroOne, .. }))
    }
}

/// Whether a layer is meant: by its name, or by the beginning of one in front of a `*`.
fn fits(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_well_formed() {
        for (i, entry) in QUANTIZERS.iter().enumerate() {
            let name = entry.name();
            assert!(QUANTIZERS[..i].iter().all(|other| other.name() != name), "{name} twice");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
            assert!(!entry.summary().is_empty() && !entry.source().is_empty(), "{name}");
            let plain = create(name).expect("defaults are valid");
            assert_eq!(plain.name, name);
            for switch in entry.switches() {
                let text = format!("{name}:{}={}", switch.name, switch.default);
                let set = create(&text).expect("a default is valid");
                assert_eq!(Quantizer { text: plain.text.clone(), ..set }, plain, "{text}");
                let error = create(&format!("{name}:{}=?", switch.name)).expect_err("not a value").to_string();
                assert!(error.contains(&format!("{}=?: expected ", switch.name)), "{error}");
            }
            // All settings that the quantizer reads are listed.
            let error = create(&format!("{name}:no-such-setting=1")).expect_err("no such setting").to_string();
            let valid = error.rsplit("valid are ").next().unwrap_or_default();
            let read: Vec<&str> = valid.split(", ").filter(|name| *name != "none").collect();
            let listed: Vec<&str> = entry.switches().iter().map(|switch| switch.name).collect();
            assert_eq!(read, listed, "{name}");
        }
    }

    #[test]
    fn the_documentation_lists_every_quantizer() {
        let text = include_str!("../../../../docs/quantizers.md");
        for entry in QUANTIZERS {
            assert!(text.contains(&format!("| `{}` |", entry.name())), "{}", entry.name());
            for switch in entry.switches() {
                let row = format!("| `{}` | {} |", switch.name, switch.summary);
                assert!(text.contains(&row), "{}: docs/quantizers.md lacks {row}", entry.name());
            }
        }
        for kind in SURROGATES {
            let row = format!("| `{}` | {} | `{}` | {} |", kind.name, kind.alpha, kind.formula, kind.source);
            assert!(text.contains(&row), "docs/quantizers.md lacks {row}");
        }
    }
}
