//! Integration tests of the digital accelerators.

#[cfg(test)]
mod crossbars;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod effects;
#[cfg(test)]
mod extremes;
#[cfg(test)]
mod mapping;
#[cfg(test)]
mod more_hardware;
#[cfg(test)]
mod padding;
#[cfg(test)]
mod peak_power;
#[cfg(test)]
mod pipeline;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod published;
#[cfg(test)]
mod quick_rules;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod snapea;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tetris;
