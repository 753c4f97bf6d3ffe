//! Flags that are settings of a configuration: words, types, bounds and defaults are the configuration's own, so a flag
//! and the key of the same name in a file cannot differ.

use std::marker::PhantomData;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::de::{DeserializeOwned, IntoDeserializer};
use toml::Value;

/// A setting as a flag. The flag is the key with dashes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Key in the configuration.
    pub(crate) key: &'static str,
    /// What stands for the value in help.
    pub(crate) value: &'static str,
    /// What it is, for help.
    pub(crate) help: &'static str,
    /// Other spellings of the flag.
    pub(crate) aliases: &'static [&'static str],
    /// Where it stands in help, if not with the others.
    pub(crate) heading: Option<&'static str>,
    /// Words that completion knows; where there are none, those of the configuration's type.
    pub(crate) words: Option<fn() -> Vec<&'static str>>,
}

impl Setting {
    pub(crate) const fn new(key: &'static str, value: &'static str, help: &'static str) -> Self {
        Self { key, value, help, aliases: &[], heading: None, words: None }
    }

    pub(crate) const fn alias(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    pub(crate) const fn heading(self, heading: &'static str) -> Self {
        Self { heading: Some(heading), ..self }
    }

    pub(crate) const fn words(self, words: fn() -> Vec<&'static str>) -> Self {
        Self { words: Some(words), ..self }
    }

    /// The long flag.
    pub(crate) fn flag(&self) -> String {
        self.key.replace('_', "-")
    }
}

/// A configuration whose keys are flags, with what help says of them.
pub(crate) trait Settings: skimp::flags::Settings {
    /// Where the flags stand in help.
    const HEADING: &'static str;
    /// The flags, in the order of help.
    const FLAGS: &'static [Setting];
}

/// The flags of a configuration, for a command's arguments.
#[derive(Clone, Debug)]
pub(crate) struct SettingFlags<C>(pub(crate) C);

impl<C: Settings> clap::Args for SettingFlags<C> {
    fn augment_args(command: Command) -> Command {
        let defaults = C::defaults();
        let arg = |setting: &'static Setting| {
            let default = defaults.get(setting.key);
            let arg = Arg::new(setting.key)
                .long(setting.flag())
                .aliases(setting.aliases)
                .help(setting.help)
                .help_heading(setting.heading.unwrap_or(C::HEADING));
            if matches!(default, Some(Value::Boolean(_))) {
                return arg.action(ArgAction::SetTrue);
            }
            let arg = arg
                .value_name(setting.value)
                .value_parser(Reads::<C>::new(setting))
                .hide_possible_values(setting.words.is_some());
            match default {
                Some(Value::Array(_)) => {
                    arg.action(ArgAction::Append).value_delimiter(setting.value.contains(',').then_some(','))
                }
                Some(default) => arg.default_value(plain(default)),
                None => arg,
            }
        };
        command.args(C::FLAGS.iter().map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<C: Settings> clap::FromArgMatches for SettingFlags<C> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut table = C::defaults();
        for setting in C::FLAGS {
            let default = table.get(setting.key);
            let given = match default {
                Some(Value::Boolean(_)) => Some(Value::Boolean(matches.get_flag(setting.key))),
                Some(Value::Array(_)) => matches
                    .get_many::<Value>(setting.key)
                    .map(|values| Value::Array(values.cloned().flat_map(elements).collect())),
                _ => matches.get_one::<Value>(setting.key).cloned(),
            };
            if let Some(value) = given {
                table.insert(setting.key.to_owned(), value);
            }
        }
        C::read(table)
            .map(Self)
            .map_err(|cause| clap::Error::raw(clap::error::ErrorKind::ValueValidation, cause + "\n"))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn elements(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        value => vec![value],
    }
}

/// A value as a user writes it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // Single precision, as its shortest decimal.
        Value::Float(number) if f64::from(*number as f32).to_bits() == number.to_bits() => (*number as f32).to_string(),
        value => value.to_string(),
    }
}

/// Reads one setting: what the configuration refuses, the flag refuses.
#[derive(Debug)]
struct Reads<C> {
    setting: &'static Setting,
    config: PhantomData<fn() -> C>,
}

impl<C> Clone for Reads<C> {
    fn clone(&self) -> Self {
        Self::new(self.setting)
    }
}

impl<C> Reads<C> {
    fn new(setting: &'static Setting) -> Self {
        Self { setting, config: PhantomData }
    }
}

impl<C: Settings> TypedValueParser for Reads<C> {
    type Value = Value;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Value, clap::Error> {
        let key = self.setting.key;
        StringValueParser::new().try_map(move |text| C::from_text(key, &text)).parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let words = match self.setting.words {
            Some(words) => words(),
            None => skimp::words_of_key::<C>(self.setting.key).to_vec(),
        };
        (!words.is_empty()).then(|| Box::new(words.into_iter().map(PossibleValue::new)) as Box<_>)
    }
}

/// Reads a choice among words: those of the configuration's type.
pub(crate) fn choice<T>() -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    clap::builder::PossibleValuesParser::new(skimp::words_of::<T>())
        .try_map(|word| T::deserialize(IntoDeserializer::<serde::de::value::Error>::into_deserializer(word.as_str())))
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};
    use skimp::{QuantizationConfig, RangeMethod, Split, WeightScales};

    use super::*;

    fn parse(arguments: &[&str]) -> Result<QuantizationConfig, String> {
        let command = SettingFlags::<QuantizationConfig>::augment_args(Command::new("x").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments).map_err(|error| error.to_string())?;
        SettingFlags::from_arg_matches(&matches).map(|flags| flags.0).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_are_the_keys_of_the_configuration() {
        assert_eq!(parse(&[]).unwrap(), QuantizationConfig::default());
        let given = ["--weight-bits", "8", "--calibration", "percentile:99.5", "--calibration-split", "train"];
        let found = parse(&[&given[..], &["--weight-scales", "per-channel"]].concat()).unwrap();
        let expected = QuantizationConfig {
            weight_bits: 8,
            calibration: RangeMethod::Percentile(99.5),
            calibration_split: Some(Split::Train),
            weight_scales: WeightScales::PerChannel,
            ..QuantizationConfig::default()
        };
        assert_eq!(found, expected);
        for (given, cause) in [
            (["--weight-bits", "17"], "weight_bits is 17, expected 2 to 16"),
            (["--weight-bits", "x"], "invalid digit"),
            (["--calibration", "entropy"], "expected min-max or percentile:P"),
            (["--calibration", "percentile:0"], "with P above 0"),
            (["--weight-scales", "per-row"], "expected one of: per-layer, per-channel"),
        ] {
            let error = parse(&given).unwrap_err();
            assert!(error.contains(cause), "{error}");
        }
    }

    #[test]
    fn words_are_those_of_the_type() {
        assert_eq!(skimp::words_of_key::<QuantizationConfig>("weight_scales"), ["per-layer", "per-channel"]);
        assert_eq!(skimp::words_of_key::<QuantizationConfig>("calibration_split"), ["test", "train"]);
        assert!(skimp::words_of_key::<QuantizationConfig>("weight_bits").is_empty());
    }
}
