//! What a user may choose about a built-in network.

use super::NetworkDefinition;
use crate::GraphError;

/// A setting that a network has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Name.
    pub name: &'static str,
    /// Value where nothing is set.
    pub default: &'static str,
    /// Meaning and valid values, one line.
    pub summary: &'static str,
}

impl Setting {
    /// The settings of every network; their defaults are the network's.
    pub const COMMON: &'static [&'static str] = &["classes", "channels", "size"];
}

/// The settings of a network, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of the network.
    pub(super) network: &'static str,
    /// Classes.
    pub classes: usize,
    /// Channels, height and width of the input.
    pub image: [usize; 3],
    /// Values of the network's own settings, in their order.
    own: Vec<(&'static str, String)>,
}

impl Settings {
    pub(super) fn parse(definition: &'static NetworkDefinition, text: &str) -> Result<Self, GraphError> {
        let mut settings = Self {
            network: definition.name,
            classes: definition.classes,
            image: definition.image,
            own: definition.settings.iter().map(|own| (own.name, own.default.to_owned())).collect(),
        };
        let pairs = text.split_once(':').map_or("", |(_, pairs)| pairs);
        for pair in pairs.split(',').filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(settings.invalid(format!("\"{pair}\" is no setting, expected setting=value")));
            };
            settings.set(definition, name, value)?;
        }
        Ok(settings)
    }

    fn set(&mut self, definition: &NetworkDefinition, name: &str, value: &str) -> Result<(), GraphError> {
        match name {
            "classes" => self.classes = self.positive(name, value)?,
            "channels" => self.image[0] = self.positive(name, value)?,
            "size" => {
                let (height, width) = value.split_once('x').unwrap_or((value, value));
                (self.image[1], self.image[2]) = (self.positive(name, height)?, self.positive(name, width)?);
            }
            _ => match self.own.iter_mut().find(|(own, _)| *own == name) {
                Some((_, own)) => value.clone_into(own),
                None => {
                    let own = definition.settings.iter().map(|setting| setting.name);
                    let known: Vec<&str> = Setting::COMMON.iter().copied().chain(own).collect();
                    return Err(self.invalid(format!("no setting \"{name}\", expected one of: {}", known.join(", "))));
                }
            },
        }
        Ok(())
    }

    fn positive(&self, name: &str, value: &str) -> Result<usize, GraphError> {
        match value.parse() {
            Ok(number @ 1..=1_000_000) => Ok(number),
            _ => Err(self.bad_value(name, value, "a whole number from 1 to 1000000")),
        }
    }

    fn own(&self, name: &str) -> &str {
        self.own.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| value)
    }

    /// A setting whose value is one of `choices`, as its index.
    pub(super) fn choice(&self, name: &str, choices: &[&str]) -> Result<usize, GraphError> {
        let value = self.own(name);
        let found = choices.iter().position(|choice| *choice == value);
        found.ok_or_else(|| self.bad_value(name, value, &format!("one of: {}", choices.join(", "))))
    }

    /// A setting that is `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, GraphError> {
        Ok(self.choice(name, &["false", "true"])? == 1)
    }

    /// A setting that is `N` numbers with dashes between them.
    pub(super) fn numbers<const N: usize>(&self, name: &str) -> Result<[usize; N], GraphError> {
        let value = self.own(name);
        let numbers = value.split('-').map(|number| self.positive(name, number)).collect::<Result<Vec<usize>, _>>();
        numbers
            .ok()
            .and_then(|numbers| numbers.try_into().ok())
            .ok_or_else(|| self.bad_value(name, value, &format!("{N} numbers from 1 to 1000000, like 64-128")))
    }

    /// A setting that is any number of numbers with dashes between them, `none` for none.
    pub(super) fn list(&self, name: &str) -> Result<Vec<usize>, GraphError> {
        let value = self.own(name);
        if value == "none" {
            return Ok(Vec::new());
        }
        let numbers = value.split('-').map(|number| self.positive(name, number)).collect::<Result<Vec<usize>, _>>();
        numbers.map_err(|_| self.bad_value(name, value, "none, or numbers from 1 to 1000000, like 512-256"))
    }

    fn bad_value(&self, name: &str, value: &str, expected: &str) -> GraphError {
        self.invalid(format!("{name} is \"{value}\", expected {expected}"))
    }

    fn invalid(&self, cause: String) -> GraphError {
        GraphError::NetworkSetting { network: self.network.to_owned(), cause }
    }
}
