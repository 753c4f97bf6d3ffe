//! Cells of two resistances, and presets of them.

use serde::{Deserialize, Serialize};

use crate::AnalogError;

/// A resistive cell of two states, LRS (low resistance) and HRS (high resistance).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Low resistance, in ohm: the median of the cells.
    pub lrs_ohm: f64,
    /// High resistance, in ohm: the median of the cells.
    pub hrs_ohm: f64,
    /// Voltage of a read.
    pub read_volts: f64,
    /// Standard deviation of the natural logarithm of a programmed LRS cell's resistance.
    pub lrs_spread: f64,
    /// Standard deviation of the natural logarithm of a programmed HRS cell's resistance.
    pub hrs_spread: f64,
    /// Standard deviation of a cell's conductance from read to read, over the conductance of an LRS cell.
    pub read_noise: f64,
    /// Share of the cells that are in LRS whatever is programmed.
    pub stuck_at_lrs: f64,
    /// Share of the cells that are in HRS whatever is programmed.
    pub stuck_at_hrs: f64,
}

impl Cell {
    /// The cell with neither spread nor noise nor faults.
    #[must_use]
    pub fn ideal(self) -> Self {
        let none = 0.0;
        Self { lrs_spread: none, hrs_spread: none, read_noise: none, stuck_at_lrs: none, stuck_at_hrs: none, ..self }
    }

    /// Conductance in LRS, in siemens.
    pub fn lrs_siemens(self) -> f64 {
        1.0 / self.lrs_ohm
    }

    /// Conductance in HRS, in siemens.
    pub fn hrs_siemens(self) -> f64 {
        1.0 / self.hrs_ohm
    }

    /// High resistance over low resistance.
    pub fn on_off_ratio(self) -> f64 {
        self.hrs_ohm / self.lrs_ohm
    }

    /// Checks every setting of a cell that is called `device`.
    ///
    /// # Errors
    /// [`AnalogError::Setting`] naming the first one that is out of its range.
    pub fn check(self, device: &str) -> Result<(), AnalogError> {
        let Self { lrs_ohm, hrs_ohm, read_volts, lrs_spread, hrs_spread, read_noise, stuck_at_lrs, stuck_at_hrs } =
            self;
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let least = format!("at least lrs_ohm ({lrs_ohm}): an on/off ratio below 1 means nothing");
        let rules = [
            ("lrs_ohm", lrs_ohm, positive(lrs_ohm), "a number above 0"),
            ("hrs_ohm", hrs_ohm, hrs_ohm.is_finite() && hrs_ohm >= lrs_ohm, &least),
            ("read_volts", read_volts, positive(read_volts), "a number above 0"),
            ("lrs_spread", lrs_spread, (0.0..=2.0).contains(&lrs_spread), "a number from 0 to 2"),
            ("hrs_spread", hrs_spread, (0.0..=2.0).contains(&hrs_spread), "a number from 0 to 2"),
            ("read_noise", read_noise, share(read_noise), "a number from 0 to 1"),
            ("stuck_at_lrs", stuck_at_lrs, share(stuck_at_lrs), "a share from 0 to 1"),
            ("stuck_at_hrs", stuck_at_hrs, share(stuck_at_hrs), "a share from 0 to 1"),
            ("stuck_at_hrs", stuck_at_hrs, share(stuck_at_lrs + stuck_at_hrs), "at most 1 with stuck_at_lrs"),
        ];
        match rules.into_iter().find(|(_, _, holds, _)| !holds) {
            Some((key, found, _, expected)) => Err(setting(device, key, &found, expected)),
            None => Ok(()),
        }
    }
}

fn setting(device: &str, key: &str, found: &dyn std::fmt::Display, expected: &str) -> AnalogError {
    AnalogError::Setting {
        device: device.to_owned(),
        key: key.to_owned(),
        found: found.to_string(),
        expected: expected.to_owned(),
    }
}

/// A preset.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    preset: &'static str,
}

/// All presets.
pub static DEVICES: &[Device] = &[
    Device {
        name: "neurosim",
        summary: "default of DNN+NeuroSim V1.3: 6 kohm, on/off 150, 0.5 V",
        preset: include_str!("../../../configs/devices/neurosim.toml"),
    },
    Device {
        name: "mnsim",
        summary: "default of MNSIM 2.0: 10 kohm, on/off 100, 0.15 V, 0.1 % of the cells stuck at either end",
        preset: include_str!("../../../configs/devices/mnsim.toml"),
    },
    Device {
        name: "isaac",
        summary: "the ISAAC and RAELLA models of CiMLoop: 1.333 kohm, on/off 15, 0.2 V",
        preset: include_str!("../../../configs/devices/isaac.toml"),
    },
    Device {
        name: "neurram",
        summary: "the NeuRRAM model of CiMLoop: 250 kohm, on/off 4, 0.5 V",
        preset: include_str!("../../../configs/devices/neurram.toml"),
    },
    Device {
        name: "crosssim",
        summary: "default of CrossSim: 1 kohm, on/off 10, 0.1 V, ideal",
        preset: include_str!("../../../configs/devices/crosssim.toml"),
    },
];

/// The preset of a name.
///
/// # Errors
/// [`AnalogError::UnknownDevice`] with those that there are.
pub fn find(name: &str) -> Result<Device, AnalogError> {
    DEVICES.iter().find(|device| device.name == name).copied().ok_or_else(|| AnalogError::UnknownDevice {
        name: name.to_owned(),
        known: DEVICES.iter().map(|device| device.name).collect::<Vec<_>>().join(", "),
    })
}

impl Device {
    /// The file of the preset, whose comments describe every setting and say where it comes from.
    pub fn preset(self) -> &'static str {
        self.preset
    }

    /// The cell with `overrides` on top of the preset. `on_off_ratio` sets `hrs_ohm` from `lrs_ohm`.
    ///
    /// # Errors
    /// [`AnalogError::Setting`] naming one that is unknown, no number, or out of its range.
    pub fn cell(self, overrides: &toml::Table) -> Result<Cell, AnalogError> {
        let mut settings: toml::Table =
            self.preset.parse().map_err(|error| setting(self.name, "its file", &error, "TOML"))?;
        settings.remove("schema");
        let known = || settings.keys().map(String::as_str).chain(["on_off_ratio"]).collect::<Vec<_>>().join(", ");
        if let Some(key) = overrides.keys().find(|key| !settings.contains_key(*key) && *key != "on_off_ratio") {
            return Err(setting(self.name, key, &"a setting that it does not have", &format!("one of {}", known())));
        }
        if overrides.contains_key("on_off_ratio") && overrides.contains_key("hrs_ohm") {
            return Err(setting(self.name, "on_off_ratio", &"hrs_ohm as well", "one of the two"));
        }
        let number = |key: &str, value: &toml::Value| {
            let found = value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
            found.ok_or_else(|| setting(self.name, key, value, "a number"))
        };
        for (key, value) in overrides.iter().filter(|(key, _)| *key != "on_off_ratio") {
            settings.insert(key.clone(), toml::Value::Float(number(key, value)?));
        }
        if let Some(ratio) = overrides.get("on_off_ratio") {
            let ratio = number("on_off_ratio", ratio)?;
            if !ratio.is_finite() || ratio < 1.0 {
                return Err(setting(self.name, "on_off_ratio", &ratio, "a number of at least 1"));
            }
            let lrs_ohm = number("lrs_ohm", &settings["lrs_ohm"])?;
            settings.insert("hrs_ohm".to_owned(), toml::Value::Float(lrs_ohm * ratio));
        }
        let cell: Cell = settings.try_into().map_err(|error: toml::de::Error| {
            setting(self.name, "its file", &error.message(), "a number for every setting")
        })?;
        cell.check(self.name)?;
        Ok(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<Cell, AnalogError> {
        find("neurosim").unwrap().cell(&text.parse().unwrap())
    }

    #[test]
    fn every_preset_is_a_cell_and_says_where_it_comes_from() {
        for device in DEVICES {
            let cell = device.cell(&toml::Table::new()).unwrap();
            assert!(cell.on_off_ratio() >= 1.0, "{}", device.name);
            let settings = device.preset().lines().filter(|line| line.contains(" = ") && !line.starts_with("schema"));
            for line in settings {
                assert!(line.contains('#') && line.contains('[') && line.ends_with('}'), "{}: {line}", device.name);
            }
        }
    }

    #[test]
    fn settings_are_overridden_and_checked() {
        let cell = with("lrs_ohm = 1000\non_off_ratio = 20").unwrap();
        assert_eq!((cell.lrs_ohm, cell.hrs_ohm), (1e3, 2e4));
        let text = |overrides| with(overrides).unwrap_err().to_string();
        assert_eq!(
            text("on_off_ratio = 0.5"),
            "device \"neurosim\", on_off_ratio: 0.5, expected a number of at least 1"
        );
        assert!(text("hrs_ohm = 10.0").contains("on/off ratio below 1"));
        assert!(text("lrs_ohm = -1.0").contains("above 0"));
        assert!(text("lrs_spread = \"wide\"").contains("a number"));
        assert!(text("stuck_at_lrs = 0.6\nstuck_at_hrs = 0.6").contains("at most 1"));
        assert!(text("speed = 1.0").contains("one of") && text("speed = 1.0").contains("lrs_ohm"));
        assert!(text("on_off_ratio = 2.0\nhrs_ohm = 1e6").contains("one of the two"));
        assert!(find("pcm").unwrap_err().to_string().contains("neurosim, mnsim"));
    }
}
