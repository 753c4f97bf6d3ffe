//! Analog in-memory computing: resistive cells, arrays of them, their wires, and what reads them.
//!
//! A [`Cell`] has two resistances with their spread, noise and faults, from a preset ([`DEVICES`]). A [`Chip`] is a sample of what
//! programming leaves in the cells. An [`Array`] sums currents along its columns; a [`WiredArray`] does so with wires that have
//! resistance, to the solution of Kirchhoff's law. An [`Xnor`] holds binary weights in pairs of cells. [`Levels`] are what a
//! multi-level sense amplifier tells apart.
//!
//! Units are SI: ohm, siemens, volt, ampere, second, joule, watt. Everything random is keyed by seed, chip, tile and read.

mod array;
mod cells;
mod chips;
mod crossbar;
mod error;
mod moments;
mod readout;
mod tiles;
mod wires;
mod xnor;

pub use array::Array;
pub use cells::{Cell, DEVICES, Device, find};
pub use chips::Chip;
pub use crossbar::{Crossbar, ReadNoise, Synapse, add_rows};
pub use error::AnalogError;
pub use moments::Moments;
pub use readout::{CONVERTERS, Conversion, Converter, Levels, Node, SenseAmplifier};
pub use tiles::Tiling;
pub use wires::{Read, TOLERANCE, WiredArray, Wires};
pub use xnor::Xnor;
