//! Choices written as `NAME` or `NAME:key=value,key=value`, as optimizers, schedules and policies are.

use skimp_data::{hint, nearest};

/// What is wrong with a written choice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The name is not in the registry.
    #[error("unknown {kind} \"{name}\"{}; valid are {valid}", hint(*.nearest))]
    UnknownName {
        /// What was named: `optimizer`, `schedule`, ...
        kind: &'static str,
        /// The name given.
        name: String,
        /// The registered name it resembles, if any.
        nearest: Option<&'static str>,
        /// All registered names, in order.
        valid: String,
    },
    /// The named thing has no such setting.
    #[error("{kind} \"{name}\": unknown setting \"{key}\"{}; valid are {valid}", hint(*.nearest))]
    UnknownKey {
        /// What was named.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The key given.
        key: String,
        /// The key it resembles, if any.
        nearest: Option<&'static str>,
        /// All keys, in order; `none` where there are none.
        valid: String,
    },
    /// A setting has an unusable value.
    #[error("{kind} \"{name}\": {key}={value}: expected {expected}")]
    InvalidValue {
        /// What was named.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The key.
        key: String,
        /// The value given.
        value: String,
        /// What it may be.
        expected: String,
    },
    /// The text is not of the form `NAME:key=value,key=value`.
    #[error("{kind} \"{text}\": expected NAME or NAME:key=value,key=value with each key once")]
    Syntax {
        /// What was named.
        kind: &'static str,
        /// The text given.
        text: String,
    },
}

/// A choice taken apart. Settings are taken out one by one; [`Spec::finish`] complains about those left.
#[derive(Clone, Debug)]
pub struct Spec {
    kind: &'static str,
    name: String,
    settings: Vec<(String, String)>,
    asked: Vec<&'static str>,
}

impl Spec {
    /// Takes `text` apart; `kind` says in errors what was chosen.
    ///
    /// # Errors
    /// [`SpecError::Syntax`].
    pub fn parse(kind: &'static str, text: &str) -> Result<Self, SpecError> {
        let wrong = || SpecError::Syntax { kind, text: text.to_owned() };
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let mut settings: Vec<(String, String)> = Vec::new();
        for item in rest.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (key, value) = item.split_once('=').ok_or_else(wrong)?;
            let (key, value) = (key.trim(), value.trim());
            if key.is_empty() || settings.iter().any(|(other, _)| other == key) {
                return Err(wrong());
            }
            settings.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self { kind, name: name.trim().to_owned(), settings, asked: Vec::new() })
    }

    /// The name before the colon.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds or replaces a setting, such as one given by a flag of its own.
    pub fn set(&mut self, key: &str, value: impl ToString) {
        self.settings.retain(|(other, _)| other != key);
        self.settings.push((key.to_owned(), value.to_string()));
    }

    /// The entry of a registry with this choice's name.
    ///
    /// # Errors
    /// [`SpecError::UnknownName`] with the nearest valid name.
    pub fn find<T: Copy>(&self, registry: &[T], name: impl Fn(T) -> &'static str) -> Result<T, SpecError> {
        registry.iter().copied().find(|&entry| name(entry) == self.name).ok_or_else(|| {
            let names: Vec<&'static str> = registry.iter().map(|&entry| name(entry)).collect();
            SpecError::UnknownName {
                kind: self.kind,
                name: self.name.clone(),
                nearest: nearest(&self.name, names.iter().copied()),
                valid: names.join(", "),
            }
        })
    }

    /// The text of a setting, taken out; `None` where it was not given.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        self.asked.push(key);
        let at = self.settings.iter().position(|(other, _)| other == key)?;
        Some(self.settings.remove(at).1)
    }

    /// A setting read by `read`, or `default` where it was not given.
    ///
    /// # Errors
    /// [`SpecError::InvalidValue`] where `read` gives `None`.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        default: T,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, SpecError> {
        match self.text(key) {
            None => Ok(default),
            Some(value) => read(&value).ok_or_else(|| self.invalid(key, &value, expected)),
        }
    }

    /// A number within `range`.
    ///
    /// # Errors
    /// As [`Spec::read`].
    pub fn number(
        &mut self,
        key: &'static str,
        default: f64,
        range: std::ops::RangeInclusive<f64>,
    ) -> Result<f64, SpecError> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        self.read(key, default, &expected, |text| text.parse().ok().filter(|number| range.contains(number)))
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// As [`Spec::read`].
    pub fn flag(&mut self, key: &'static str, default: bool) -> Result<bool, SpecError> {
        self.read(key, default, "true or false", |text| text.parse().ok())
    }

    /// The error for a value that turned out to be unusable.
    pub fn invalid(&self, key: &str, value: &str, expected: &str) -> SpecError {
        SpecError::InvalidValue {
            kind: self.kind,
            name: self.name.clone(),
            key: key.to_owned(),
            value: value.to_owned(),
            expected: expected.to_owned(),
        }
    }

    /// Complains about a setting that nobody asked for.
    ///
    /// # Errors
    /// [`SpecError::UnknownKey`] with the nearest valid key.
    pub fn finish(self) -> Result<(), SpecError> {
        let Some((key, _)) = self.settings.into_iter().next() else { return Ok(()) };
        let valid = if self.asked.is_empty() { "none".to_owned() } else { self.asked.join(", ") };
        Err(SpecError::UnknownKey {
            kind: self.kind,
            name: self.name,
            nearest: nearest(&key, self.asked.iter().copied()),
            key,
            valid,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_taken_out_once() {
        let mut spec = Spec::parse("optimizer", "sgd: momentum = 0.5 ,nesterov=true").unwrap();
        assert_eq!(spec.name(), "sgd");
        assert_eq!(spec.number("momentum", 0.0, 0.0..=1.0).unwrap().to_bits(), 0.5_f64.to_bits());
        assert!(spec.flag("nesterov", false).unwrap());
        assert_eq!(spec.number("dampening", 0.25, 0.0..=1.0).unwrap().to_bits(), 0.25_f64.to_bits());
        spec.set("momentun", 3);
        assert_eq!(
            spec.finish().unwrap_err().to_string(),
            "optimizer \"sgd\": unknown setting \"momentun\", did you mean \"momentum\"?; \
             valid are momentum, nesterov, dampening"
        );
    }

    #[test]
    fn errors_say_what_was_expected() {
        for text in ["sgd:momentum", "sgd:a=1,a=2", "sgd:=1"] {
            assert!(matches!(Spec::parse("optimizer", text), Err(SpecError::Syntax { .. })), "{text}");
        }
        let mut spec = Spec::parse("optimizer", "sgx:momentum=2").unwrap();
        assert_eq!(
            spec.number("momentum", 0.0, 0.0..=1.0).unwrap_err().to_string(),
            "optimizer \"sgx\": momentum=2: expected a number from 0 to 1"
        );
        assert_eq!(
            spec.find(&["sgd", "adam"], |name| name).unwrap_err().to_string(),
            "unknown optimizer \"sgx\", did you mean \"sgd\"?; valid are sgd, adam"
        );
        assert!(
            Spec::parse("optimizer", "x:y=1").unwrap().finish().unwrap_err().to_string().ends_with("valid are none")
        );
    }
}
