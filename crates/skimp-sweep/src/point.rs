//! The resolved configuration of one point.

use serde::{Deserialize, Serialize};
use skimp_study::{
    AcceleratorConfig, CostsConfig, DataConfig, LayerWidths, LayersConfig, NetworkConfig, QuantizationConfig,
    StepConfig, TrainConfig,
};
use toml::{Table, Value};

use crate::axis::{assign, split_key};

/// All that a point is: network, reductions, images, widths, design, prices. Keys of axes are those of this type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointConfig {
    /// The network.
    pub network: NetworkConfig,
    /// Reductions, one after another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reduction: Vec<StepConfig>,
    /// How reductions that learn are trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainConfig>,
    /// Images.
    pub data: DataConfig,
    /// Widths and calibration.
    #[serde(default)]
    pub quantization: QuantizationConfig,
    /// Layers with widths of their own.
    #[serde(default, skip_serializing_if = "LayerWidths::is_empty")]
    pub widths: LayerWidths,
    /// Which layers are simulated.
    #[serde(default)]
    pub layers: LayersConfig,
    /// The design.
    pub accelerator: AcceleratorConfig,
    /// What prices its energies.
    #[serde(default)]
    pub costs: CostsConfig,
}

impl PointConfig {
    /// Whether `other` is the same but for its design.
    pub(crate) fn differs_in_design_alone(&self, other: &Self) -> bool {
        let Self { network, reduction, training, data, quantization, widths, layers, accelerator: _, costs } = self;
        *network == other.network
            && *reduction == other.reduction
            && *training == other.training
            && *data == other.data
            && *quantization == other.quantization
            && *widths == other.widths
            && *layers == other.layers
            && *costs == other.costs
    }
}

/// The sections of a point, which a sweep file may have for all points together.
pub(crate) const SECTIONS: [&str; 9] =
    ["network", "reduction", "training", "data", "quantization", "widths", "layers", "accelerator", "costs"];

/// Names of keys that stand for one key of a section: a network is its model.
pub(crate) const SHORT: [(&str, &str); 3] = [("network", "model"), ("accelerator", "model"), ("data", "set")];

/// Sets `key` of a point's table to `value`, where a text may stand for a network, a design, a data set or reductions.
///
/// Another design than the one that is there takes that one's settings with it.
pub(crate) fn set(config: &mut Table, key: &str, value: &Value) -> Result<(), String> {
    let (section, _) = split_key(key);
    if !SECTIONS.contains(&section) {
        return Err(format!("no such key, expected one that begins with {}", SECTIONS.join(", ")));
    }
    if key == "reduction" {
        let steps = steps_of(value)?;
        config.insert(key.to_owned(), steps);
        return Ok(());
    }
    let short = SHORT.iter().find(|(section, _)| *section == key).filter(|_| value.is_str());
    let key = short.map_or_else(|| key.to_owned(), |(section, inner)| format!("{section}.{inner}"));
    if key == "accelerator.model"
        && let Some(Value::Table(design)) = config.get_mut("accelerator")
        && design.get("model") != Some(value)
    {
        *design = Table::new();
    }
    assign(config, &key, value.clone())
}

/// Reductions: a list of steps, one step, or a text: `none`, or `METHOD:TARGET` such as `l1:macs=0.5`.
fn steps_of(value: &Value) -> Result<Value, String> {
    let step = |text: &str| match text.split_once(':') {
        Some((method, target)) => {
            let mut step = Table::new();
            step.insert("prune".to_owned(), method.into());
            step.insert("target".to_owned(), target.into());
            Ok(Value::Table(step))
        }
        None => {
            Err(format!("\"{text}\" is no reduction, expected \"none\", METHOD:TARGET or tables as in docs/studies.md"))
        }
    };
    Ok(match value {
        Value::String(text) if text == "none" => Value::Array(Vec::new()),
        Value::String(text) => Value::Array(vec![step(text)?]),
        Value::Table(_) => Value::Array(vec![value.clone()]),
        Value::Array(steps) => {
            let one = |value: &Value| match value {
                Value::String(text) => step(text),
                value => Ok(value.clone()),
            };
            Value::Array(steps.iter().map(one).collect::<Result<_, _>>()?)
        }
        other => return Err(format!("{other} is no reduction, expected \"none\", METHOD:TARGET or a list of steps")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Table {
        "[network]\nmodel = \"sample-resnet\"\n[data]\nset = \"sample\"\n[accelerator]\nmodel = \"compend\"\nset = { end = false }"
            .parse()
            .unwrap()
    }

    fn with(key: &str, value: impl Into<Value>) -> Result<PointConfig, String> {
        let mut table = base();
        set(&mut table, key, &value.into())?;
        table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
    }

    #[test]
    fn keys_of_a_point_are_set() {
        assert_eq!(with("quantization.weight_bits", 4).unwrap().quantization.weight_bits, 4);
        assert_eq!(with("network", "mlp").unwrap().network.model, "mlp");
        assert_eq!(with("accelerator.set.end", true).unwrap().accelerator.set["end"], Value::Boolean(true));
        assert_eq!(with("data.seed", 7).unwrap().data.seed, Some(7));
        assert_eq!(String::from(with("costs", "common").unwrap().costs), "common");
        // The settings of one design are not another's.
        assert_eq!(with("accelerator", "compend").unwrap().accelerator.set.len(), 1);
        assert_eq!(with("accelerator", "eyeriss").unwrap().accelerator.set.len(), 0);
        assert_eq!(with("accelerator.model", "eyeriss").unwrap().accelerator.set.len(), 0);
        let steps = with("reduction", "l1:macs=0.5").unwrap().reduction;
        assert_eq!((steps.len(), steps[0].target.as_deref()), (1, Some("macs=0.5")));
        assert_eq!(with("widths.weight_bits.conv1", 3).unwrap().widths.weight_bits["conv1"], 3);
        assert!(with("reduction", "none").unwrap().reduction.is_empty());
    }

    #[test]
    fn keys_that_name_nothing_are_refused() {
        for (key, value, message) in [
            ("acelerator.set.end", Value::Boolean(true), "begins with network, reduction"),
            ("quantization.wieght_bits", Value::Integer(4), "unknown field `wieght_bits`"),
            ("quantization.weight_bits", "x".into(), "invalid type"),
            ("reduction", "l1".into(), "METHOD:TARGET"),
            ("costs.table", "x".into(), "invalid type"),
        ] {
            let error = with(key, value).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
