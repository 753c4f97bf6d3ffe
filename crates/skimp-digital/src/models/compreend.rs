//! ComPreEND: ComPEND's array with predictive early negative detection.
//!
//! Mapping, slot pipeline and energies are those of [`compend`](super::compend). In `mode = "predictive"` an output stops
//! where its remaining planes are *expected* to make it negative: an approximation, whose effect on accuracy a pipeline
//! measures. `mode = "search"` first looks for the greatest share that keeps the accuracy on the images of the search, by
//! bisection in hundredths. The rule is a reconstruction (see the preset); the 2 to 12 % of planes that the published exact mode saves
//! over ComPEND have no known mechanism and are not modeled.

use skimp_sim::{Accelerator, AcceleratorModel, Configured, SimError};
use toml::Table;

use super::compend::{Config, Machine, ShareSearch, StopRule};
use super::entry::Entry;
use super::search::check_loss;

const NAME: &str = "compreend";
const PRESET: &str = include_str!("../../../../configs/accelerators/compreend.toml");

/// The registered model.
///
/// # Source
/// N. Kim, H. Park, D. Lee, S. Kang, J. Lee, K. Choi, "ComPreEND: Computation Pruning through Predictive Early Negative
/// Detection for ReLU in a Deep Neural Network Accelerator", IEEE Transactions on Computers 71(7), 2022.
/// Differs: the predictive rule is a reconstruction; the exact mode is ComPEND's.
pub(super) static COMPREEND: Entry = Entry {
    name: NAME,
    summary: "ComPEND that also stops outputs it expects to end negative (rule reconstructed)",
    source: "N. Kim et al., ComPreEND: Computation Pruning through Predictive Early Negative Detection for ReLU in a Deep \
     Neural Network Accelerator, IEEE Transactions on Computers 71(7), 2022",
    preset: PRESET,
    build,
};

fn build(resolved: Table) -> Result<Configured, SimError> {
    let mut array = resolved.clone();
    let (rule, searched) = rule(array.remove("mode").as_ref(), array.remove("predictive_share").as_ref())?;
    let max_accuracy_loss = array.remove("max_accuracy_loss_percent").and_then(|percent| percent.as_float());
    let max_accuracy_loss = max_accuracy_loss.unwrap_or(f64::NAN) / 100.0;
    check_loss("max_accuracy_loss_percent", max_accuracy_loss)?;
    let machine = Machine::new(NAME, resolved, Config::from_table(&array)?, rule)?;
    Ok(match searched {
        true => Configured::NeedsSearch(Box::new(ShareSearch { machine, max_accuracy_loss, configure: with_share })),
        false => machine.into(),
    })
}

/// The accelerator of a search that found `share`.
fn with_share(resolved: &Table, share: f64) -> Result<Box<dyn Accelerator>, SimError> {
    let mut resolved = resolved.clone();
    resolved.insert("mode".into(), "predictive".into());
    resolved.insert("predictive_share".into(), share.into());
    COMPREEND.accelerator(&resolved)
}

/// When outputs stop, and whether the share is to be searched.
fn rule(mode: Option<&toml::Value>, share: Option<&toml::Value>) -> Result<(StopRule, bool), SimError> {
    let refuse = |key: &str, reason: String| Err(SimError::SettingValue { key: key.into(), reason });
    let share = share.and_then(toml::Value::as_float).unwrap_or(f64::NAN);
    if !(0.0..=1.0).contains(&share) {
        return refuse("predictive_share", format!("expected 0 to 1, found {share}"));
    }
    match mode.and_then(toml::Value::as_str) {
        Some("exact") => Ok((StopRule::Proven, false)),
        Some("predictive") => Ok((StopRule::Predicted(share), false)),
        Some("search") => Ok((StopRule::Predicted(share), true)),
        other => refuse("mode", format!("expected \"exact\", \"predictive\" or \"search\", found {other:?}")),
    }
}
