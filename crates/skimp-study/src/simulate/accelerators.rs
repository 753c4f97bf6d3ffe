//! Accelerators as a user asks for them: names and labels, presets and cost tables of their own, single settings.
//!
//! What a file says goes into the configuration itself, so that a resolved configuration needs no other file: the
//! settings of a preset as settings, a cost table as its text.

use std::path::Path;

use skimp_sim::{CostTable, GIVEN_MAPPINGS, SimError, apply_setting, resolve_config};
use toml::{Table, Value};

use crate::error::StudyError;
use crate::simulate::config::{AcceleratorConfig, PresetOrigin};
use crate::simulate::designs::Designs;

/// The setting that names a cost table.
const COSTS: &str = "costs";

/// Most bytes of a preset or a cost table.
const MAX_FILE_BYTES: u64 = 1 << 26;

/// Accelerators of `designs` as on the command line: `names` are `MODEL` or `LABEL=MODEL`, `presets` are `LABEL=FILE`, `settings` are
/// `LABEL.KEY=VALUE`; the label is the model's name where none is given. A preset may be named instead, by its model. Presets come before settings. A cost table
/// may be a file. Files lie relative to the working directory.
///
/// # Errors
/// [`StudyError`] naming the unknown accelerator, label or setting, with the nearest valid one, or the file.
pub fn accelerator_configs(
    designs: &Designs,
    names: &[String],
    presets: &[String],
    settings: &[String],
) -> Result<Vec<AcceleratorConfig>, StudyError> {
    let mut configs: Vec<AcceleratorConfig> = Vec::new();
    for name in names {
        let (label, model) = match name.split_once('=') {
            Some((label, model)) => (Some(label.to_owned()), model),
            None => (None, name.as_str()),
        };
        let model = designs.find(model)?.name().to_owned();
        let config = AcceleratorConfig { model, label, preset: None, set: Table::new(), origin: None };
        if config.label().is_empty() || config.label().contains('.') {
            return Err(malformed("label", config.label(), "a name without \".\""));
        }
        if configs.iter().any(|other| other.label() == config.label()) {
            let hint = format!("label them: --accelerator a={model},b={model}", model = config.model);
            let name = config.label().to_owned();
            return Err(StudyError::SameName { what: "accelerators", name, hint: Some(hint) });
        }
        configs.push(config);
    }
    for preset in presets {
        let malformed = || malformed("preset", preset, "ACCELERATOR=FILE");
        let (label, file) = preset.split_once('=').ok_or_else(malformed)?;
        let config = labeled(designs, &mut configs, label, preset)?;
        if config.preset.replace(file.into()).is_some() {
            let hint = Some(format!("\"{preset}\" is one too many"));
            return Err(StudyError::SameName { what: "presets", name: label.to_owned(), hint });
        }
    }
    for setting in settings {
        let malformed = || malformed("setting", setting, "ACCELERATOR.KEY=VALUE");
        let (path, value) = setting.split_once('=').ok_or_else(malformed)?;
        let (label, key) = path.split_once('.').ok_or_else(malformed)?;
        let config = labeled(designs, &mut configs, label, setting)?;
        let preset = resolve_config(designs.find(&config.model)?.preset(), &Table::new())?;
        apply_setting(&preset, &mut config.set, key, value)?;
    }
    configs.iter_mut().try_for_each(|config| config.read_files(designs, Path::new("")))?;
    Ok(configs)
}

fn malformed(setting: &'static str, found: &str, expected: &str) -> StudyError {
    StudyError::Setting { setting, found: found.to_owned(), expected: expected.to_owned() }
}

/// The accelerator with a label, or the only one of a model.
fn labeled<'c>(
    designs: &Designs,
    configs: &'c mut [AcceleratorConfig],
    label: &str,
    given: &str,
) -> Result<&'c mut AcceleratorConfig, StudyError> {
    let found = configs.iter().position(|config| config.label() == label);
    let of_model: Vec<usize> = (0..configs.len()).filter(|&idx| configs[idx].model == label).collect();
    let idx = match (found, &of_model[..]) {
        (Some(idx), _) => idx,
        (None, [idx]) => *idx,
        (None, []) => {
            let labels: Vec<_> = configs.iter().map(AcceleratorConfig::label).collect();
            if !labels.iter().any(|other| designs.models().iter().all(|model| model.name() != *other)) {
                // A misspelled name gets its hint here; a right one is just not part of this run.
                designs.find(label)?;
            }
            let labels = labels.into_iter().map(str::to_owned).collect();
            return Err(StudyError::UnknownLabel { given: given.to_owned(), label: label.to_owned(), labels });
        }
        (None, several) => {
            let labels = several.iter().map(|&idx| configs[idx].label().to_owned()).collect();
            return Err(StudyError::AmbiguousLabel { given: given.to_owned(), model: label.to_owned(), labels });
        }
    };
    Ok(&mut configs[idx])
}

impl AcceleratorConfig {
    /// Takes in the files that it names, relative to `folder`: preset < `set`, and the cost table as its text.
    ///
    /// # Errors
    /// [`StudyError`] naming the file and what is wrong in it.
    pub fn read_files(&mut self, designs: &Designs, folder: &Path) -> Result<(), StudyError> {
        inline_costs(&mut self.set, folder)?;
        if let Some(preset) = self.preset.take() {
            let named = designs.models().iter().find(|model| preset.to_str() == Some(model.name()));
            let path = if named.is_some() { preset } else { folder.join(preset) };
            let invalid = |cause: String| StudyError::InvalidStudy { path: path.clone(), cause };
            let text = named.map_or_else(|| read(&path), |model| Ok(model.preset().to_owned()))?;
            let (mut set, network) = match path.extension().is_some_and(|extension| extension == "json") {
                true => self.recorded(&text).map_err(&invalid)?,
                false => (text.parse().map_err(|error: toml::de::Error| invalid(error.to_string()))?, None),
            };
            inline_costs(&mut set, path.parent().unwrap_or(Path::new("")))?;
            let model = designs.find(&self.model)?;
            model.configure(&set).map_err(|error| invalid(format!("as a preset of {}: {error}", self.model)))?;
            let keys = set.keys().filter(|key| !self.set.contains_key(*key)).cloned().collect();
            overlay(&mut set, std::mem::take(&mut self.set));
            self.origin = Some(PresetOrigin { path: path.clone(), network, keys });
            self.set = set;
        }
        Ok(())
    }
}

impl AcceleratorConfig {
    /// The settings of an accelerator in a record, of `skimp simulate` or of a study, and the record's network: the one of
    /// the same label, else of the same model. Where the design takes mappings, those of the record's layers are among them.
    fn recorded(&self, text: &str) -> Result<(Table, Option<String>), String> {
        let root: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let root = root.pointer("/sections/simulation").or_else(|| root.get("simulation")).unwrap_or(&root);
        let accelerators = root.get("accelerators").and_then(|value| value.as_array()).map_or(&[][..], Vec::as_slice);
        let find = |key: &str, name: &str| accelerators.iter().find(|accelerator| accelerator[key] == *name);
        let same = find("label", self.label()).or_else(|| find("name", &self.model));
        let record = same.ok_or_else(|| format!("no result of {} in it", self.label()))?;
        let settings = Value::try_from(&record["config"]).map_err(|error| error.to_string())?;
        let mut settings = settings.as_table().cloned().ok_or("its configuration is no table")?;
        let given = |layer: &serde_json::Value| {
            let numbers: Vec<_> =
                layer.get("mapping")?.as_object()?.iter().map(|(name, number)| format!("{name}:{number}")).collect();
            Some(Value::from(format!("{}={}", layer.get("name")?.as_str()?, numbers.join(" "))))
        };
        if let Some(slot) = settings.get_mut(GIVEN_MAPPINGS) {
            let layers = ["layers", "shape_layers"].into_iter().filter_map(|key| record.get(key)?.as_array()).flatten();
            *slot = Value::Array(layers.filter_map(given).collect());
        }
        Ok((settings, root["model"]["name"].as_str().map(str::to_owned)))
    }

    /// The error of this accelerator, with the file where one holds the setting at fault.
    pub(crate) fn fault(&self, error: SimError) -> StudyError {
        let at_fault = |origin: &&PresetOrigin| {
            error.setting().is_some_and(|setting| origin.keys.iter().any(|key| setting.split('.').next() == Some(key)))
        };
        match self.origin.as_ref().filter(at_fault) {
            Some(origin) => StudyError::Preset {
                path: origin.path.clone(),
                network: origin.network.clone(),
                accelerator: self.label().to_owned(),
                source: Box::new(error),
            },
            None => StudyError::Sim(error),
        }
    }
}

/// Lays `over` on top of `base`, tables key by key.
pub fn overlay(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(more)) => overlay(inner, more),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Puts the text of a cost table in the place of its path.
fn inline_costs(set: &mut Table, folder: &Path) -> Result<(), StudyError> {
    let Some(named) = set.get(COSTS).and_then(Value::as_str) else { return Ok(()) };
    if let Some(text) = table_file(named, folder)? {
        set.insert(COSTS.to_owned(), text.into());
    }
    Ok(())
}

/// The text of the cost table in the file `named`, relative to `folder`; `None` where that is the name of a table, or a
/// table itself.
pub(crate) fn table_file(named: &str, folder: &Path) -> Result<Option<String>, StudyError> {
    // The name of a table has neither of these, its text has line breaks.
    if named.contains('\n') || !(named.contains(['/', '\\']) || named.ends_with(".toml")) {
        return Ok(None);
    }
    let path = folder.join(named);
    let invalid = |cause: String| StudyError::InvalidStudy { path: path.clone(), cause };
    let text = read(&path)?;
    let table = CostTable::from_toml(&text).map_err(|error| invalid(error.to_string()))?;
    let mut root: Table = text.parse().map_err(|error: toml::de::Error| invalid(error.to_string()))?;
    // Messages and reports tell it from an embedded table, and where it lies.
    root.insert("name".to_owned(), format!("{} ({named})", table.name).into());
    toml::to_string(&root).map(Some).map_err(|error| invalid(error.to_string()))
}

fn read(path: &Path) -> Result<String, StudyError> {
    skimp_files::read_to_string(path, MAX_FILE_BYTES).map_err(|source| match source.kind() {
        std::io::ErrorKind::FileTooLarge => StudyError::InvalidStudy {
            path: path.to_owned(),
            cause: format!("{source}: is this a preset, a record or a cost table?"),
        },
        _ => StudyError::Io { path: path.to_owned(), source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::show::show;
    use crate::inputs::config::DataConfig;
    use crate::inputs::network::Network;
    use crate::monitor::Silent;
    use crate::simulate::config::LayersConfig;
    use crate::simulate::pricing::CostsConfig;
    use crate::simulate::session::SimulateConfig;
    use crate::simulate::session::simulate;
    use skimp_quant::QuantizationConfig;

    fn configs(names: &[&str], presets: &[&str], settings: &[&str]) -> Result<Vec<AcceleratorConfig>, StudyError> {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        accelerator_configs(&Designs::embedded(), &owned(names), &owned(presets), &owned(settings))
    }

    #[test]
    fn labels_tell_settings_of_one_design_apart() {
        let two = configs(&["a=compend", "b=compend", "eyeriss"], &[], &["b.end=false", "eyeriss.pe_rows=8"]).unwrap();
        let labels: Vec<_> = two.iter().map(|config| (config.label(), config.model.as_str())).collect();
        assert_eq!(labels, [("a", "compend"), ("b", "compend"), ("eyeriss", "eyeriss")]);
        assert!(two[0].set.is_empty() && two[1].set["end"] == Value::Boolean(false));
        assert_eq!(two[2].set["pe_rows"], Value::Integer(8));
        // The name of a model will do where one accelerator is of it.
        assert_eq!(configs(&["a=compend"], &[], &["compend.end=false"]).unwrap()[0].set.len(), 1);
        for (names, settings, message) in [
            (&["compend", "compend"][..], &[][..], "label them: --accelerator a=compend,b=compend"),
            (&["a=compend", "b=compend"], &["compend.end=false"], "which compend? say a or b"),
            (&["compend"], &["dadiannao.tiles=2"], "dadiannao is not among --accelerator compend"),
            (&["compend"], &["compent.end=false"], "did you mean \"compend\"?"),
            (&["a=compend"], &["b.end=false"], "b is not among --accelerator a"),
            (&["=compend"], &[], "expected a name"),
            (&["a=compent"], &[], "did you mean \"compend\"?"),
            (&["compend"], &["compend.end"], "expected ACCELERATOR.KEY=VALUE"),
        ] {
            let error = configs(names, &[], settings).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn files_are_taken_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let table = show("compend-45nm", None).unwrap().toml;
        std::fs::write(path("mine.toml"), table.replacen("access_pj = 6.808", "access_pj = 13.616", 1)).unwrap();
        std::fs::write(path("chip.toml"), "pu_rows = 3\nend = false\ncosts = \"./mine.toml\"\n").unwrap();
        let preset = format!("compend={}", path("chip.toml"));
        let config = configs(&["compend"], &[&preset], &["compend.end=true"]).unwrap().remove(0);
        assert_eq!((config.set["pu_rows"].as_integer(), config.set["end"].as_bool()), (Some(3), Some(true)));
        // Everything is in the configuration: the files may go.
        std::fs::remove_file(path("mine.toml")).unwrap();
        let model = Designs::embedded().find("compend").unwrap();
        let accelerator = model.accelerator(&config.set).unwrap();
        assert_eq!(accelerator.facts().costs.name, "compend-45nm (./mine.toml)");
        assert!((accelerator.facts().costs.energy_pj("pu.access").unwrap() - 13.616).abs() < 1e-12);

        // A preset by its name: the same array with other settings.
        let tpu = configs(&["systolic"], &["systolic=tpu-v1"], &["systolic.rows=8"]).unwrap().remove(0);
        assert_eq!((tpu.set["rows"].as_integer(), tpu.set["columns"].as_integer()), (Some(8), Some(256)));

        for (text, message) in [
            ("pu_rows = 0", "expected 1 to 4096"),
            ("rows = 3", "known: ab_bank_bytes"),
            ("pu_rows = ", "chip.toml"),
            ("costs = \"none.toml\"", "none.toml"),
        ] {
            std::fs::write(path("chip.toml"), text).unwrap();
            let error = configs(&["compend"], &[&preset], &[]).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    /// The entry, the table with its file, and the design.
    #[test]
    fn a_missing_cost_is_named_with_who_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        let table = show("compend-45nm", None).unwrap().toml;
        std::fs::write(&file, table.replacen("read_pj", "reed_pj", 1)).unwrap();
        let set = format!("compend.costs={}", file.display());
        let config = configs(&["compend"], &[], &[&set]).unwrap().remove(0);
        let network = Network::open("sample-resnet").unwrap();
        let simulation = SimulateConfig {
            data: DataConfig { set: "sample".to_owned(), ..DataConfig::default() },
            input_size: None,
            quantization: QuantizationConfig { calibration_images: 1, ..Default::default() },
            layers: LayersConfig::default(),
            designs: Designs::embedded(),
            accelerators: vec![config],
            costs: CostsConfig::Auto,
            allowed_loss_points: 1.0,
            chips: None,
            dump: None,
            trace: None,
        };
        let error = simulate(&network, &simulation, &Silent).unwrap_err().to_string();
        for part in ["\"stt.read\" in pJ", "mine.toml", "which compend needs", "did you mean \"stt.reed\"?"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
