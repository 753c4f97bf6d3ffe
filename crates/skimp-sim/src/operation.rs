//! Physical operations that any design is made of, and what a generic table makes of them.
//!
//! A design's own cost table prices its components by keys of its own. A generic table prices operations instead: an
//! addition of so many bits, an access of so many bits to a memory of so many bytes. Every model counts both, so that any
//! two designs can be priced by one table.

use crate::{CostTable, Scope, SimError};

/// One physical operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Addition of two numbers of `bits`.
    Add {
        /// Width.
        bits: u32,
    },
    /// Multiplication of two numbers of `bits`, its product added at twice the width.
    MultiplyAdd {
        /// Width of the factors.
        bits: u32,
    },
    /// Reading or writing `bits` of a memory of `bytes`.
    Access {
        /// Which kind of memory it is in the design.
        level: Level,
        /// Capacity of the memory, or of the bank that is accessed.
        bytes: u64,
        /// Width of one access.
        bits: u32,
    },
    /// One bit to or from off-chip memory.
    OffChipBit(Dram),
}

/// A level of the memory hierarchy on the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Register files and accumulators.
    Registers,
    /// Buffers of an array or an element.
    Buffers,
    /// Memory that holds whole maps or weights.
    OnChip,
}

/// A kind of off-chip memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dram {
    /// Chips beside the processor.
    Planar,
    /// A stack on top of it.
    Stacked,
}

/// Operations of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationCount {
    /// Component as named in energies.
    pub component: &'static str,
    /// What was done.
    pub operation: Operation,
    /// How often.
    pub count: u64,
}

impl OperationCount {
    /// `count` operations of a component.
    #[must_use]
    pub fn new(component: &'static str, operation: Operation, count: u64) -> Self {
        Self { component, operation, count }
    }

    /// Multiplications of `bits` with their additions.
    #[must_use]
    pub fn multiply_add(component: &'static str, bits: u32, count: u64) -> Self {
        Self::new(component, Operation::MultiplyAdd { bits }, count)
    }

    /// Additions of `bits`.
    #[must_use]
    pub fn add(component: &'static str, bits: u32, count: u64) -> Self {
        Self::new(component, Operation::Add { bits }, count)
    }

    /// Accesses of `bits` to a buffer of `bytes`.
    #[must_use]
    pub fn buffer(component: &'static str, bytes: u64, bits: u32, count: u64) -> Self {
        Self::new(component, Operation::Access { level: Level::Buffers, bytes, bits }, count)
    }

    /// Accesses of `bits` to an on-chip memory of `bytes`.
    #[must_use]
    pub fn on_chip(component: &'static str, bytes: u64, bits: u32, count: u64) -> Self {
        Self::new(component, Operation::Access { level: Level::OnChip, bytes, bits }, count)
    }

    /// Accesses of `bits` to a register file of `bytes`.
    #[must_use]
    pub fn registers(component: &'static str, bytes: u64, bits: u32, count: u64) -> Self {
        Self::new(component, Operation::Access { level: Level::Registers, bytes, bits }, count)
    }

    /// `updates` of accumulators of 32 bits, each its own register, read and written.
    #[must_use]
    pub fn accumulators(updates: u64) -> Self {
        Self::registers("registers", 4, 32, updates.saturating_mul(2))
    }

    /// Bits to and from memory chips beside the processor.
    #[must_use]
    pub fn off_chip(bits: u64) -> Self {
        Self::new("dram", Operation::OffChipBit(Dram::Planar), bits)
    }
}

impl Operation {
    /// The scope that its energy belongs to.
    #[must_use]
    pub fn scope(self) -> Scope {
        match self {
            Operation::Add { .. } | Operation::MultiplyAdd { .. } => Scope::Mac,
            Operation::Access { level: Level::Registers, .. } => Scope::Registers,
            Operation::Access { level: Level::Buffers, .. } => Scope::Buffers,
            Operation::Access { level: Level::OnChip, .. } => Scope::OnChip,
            Operation::OffChipBit(_) => Scope::OffChip,
        }
    }
}

/// Width of the narrow accesses that `word64` prices.
const NARROW_BITS: f64 = 64.0;

/// Width of the lines that `word512` prices.
const LINE_BITS: f64 = 512.0;

/// How an energy grows with width or capacity beyond the entries of a table.
const ADDER_EXPONENT: f64 = 1.0;
const MULTIPLIER_EXPONENT: f64 = 2.0;
const CAPACITY_EXPONENT: f64 = 0.5;

/// Entries of one kind of operation in the order of their size, for sizes in between and beyond.
#[derive(Clone, Debug)]
struct Anchors {
    entries: Vec<(f64, f64)>,
    exponent: f64,
}

impl Anchors {
    /// The energies whose keys `size` recognizes.
    fn new(
        table: &CostTable,
        example: &str,
        exponent: f64,
        size: impl Fn(&str) -> Option<f64>,
    ) -> Result<Self, SimError> {
        let mut entries: Vec<(f64, f64)> =
            table.energies().filter_map(|(key, picojoules)| Some((size(key)?, picojoules))).collect();
        entries.sort_by(|a, b| a.0.total_cmp(&b.0));
        if entries.is_empty() {
            // Names what is missing.
            table.energy_pj(example)?;
        }
        Ok(Self { entries, exponent })
    }

    /// Energy at `size`: between two entries the power of the size that meets both, beyond them `exponent`.
    fn at(&self, size: f64) -> f64 {
        let scaled = |(known, picojoules): (f64, f64), exponent: f64| picojoules * (size / known).powf(exponent);
        match self.entries.iter().position(|&(known, _)| known >= size) {
            Some(idx) if self.entries[idx].0 <= size => self.entries[idx].1,
            Some(0) => scaled(self.entries[0], self.exponent),
            Some(idx) => {
                let (below, above) = (self.entries[idx - 1], self.entries[idx]);
                scaled(below, (above.1 / below.1).ln() / (above.0 / below.0).ln())
            }
            None => self.entries.last().map_or(0.0, |&last| scaled(last, self.exponent)),
        }
    }
}

/// What a generic table makes of operations.
///
/// # Units
/// Picojoules. Entries: `addN.op` and `multN.op` (N bits), `sram_NU.word64` (64 bits of a memory of N `kib` or `mib`),
/// `sram_NU_line.word512` (a line of 512 bits), `dram.bit` and `dram_3d.bit`.
///
/// Between two entries an energy follows the power of the width or capacity that meets both. Beyond them additions
/// grow with their width, multiplications with its square, accesses with the square root of the capacity. An access
/// narrower than 64 bits takes its share of 64, one up to 512 bits lies on the line between the two widths, a wider one
/// takes that many lines (`sram_NU_line`: 512 bits have a source of their own).
///
/// # Source
/// Exponents: M. Horowitz, "Computing's Energy Problem", ISSCC 2014 (its 8 and 32 KiB caches lie on the square root).
#[derive(Clone, Debug)]
pub(crate) struct Tariff {
    add: Anchors,
    multiply: Anchors,
    sram: Anchors,
    /// A line of 512 bits over an access of 64.
    line: f64,
    dram: f64,
    stacked: Option<f64>,
}

impl Tariff {
    /// Reads the entries of a generic table.
    ///
    /// # Errors
    /// [`SimError::MissingCost`] naming an entry of a kind of which there is none.
    pub(crate) fn new(table: &CostTable) -> Result<Self, SimError> {
        let bits = |key: &str, prefix: &str| key.strip_prefix(prefix)?.strip_suffix(".op")?.parse().ok();
        let sram = Anchors::new(table, "sram_32kib.word64", CAPACITY_EXPONENT, |key| capacity(key, ".word64"))?;
        let lines = table.energies().filter_map(|(key, line)| Some(line / sram.at(capacity(key, ".word512")?)));
        Ok(Self {
            add: Anchors::new(table, "add16.op", ADDER_EXPONENT, |key| bits(key, "add"))?,
            multiply: Anchors::new(table, "mult16.op", MULTIPLIER_EXPONENT, |key| bits(key, "mult"))?,
            line: lines.fold(None, |first: Option<f64>, line| first.or(Some(line))).unwrap_or(LINE_BITS / NARROW_BITS),
            sram,
            dram: table.energy_pj("dram.bit")?,
            stacked: table.energy_pj("dram_3d.bit").ok(),
        })
    }

    /// Energy of one operation, in picojoules.
    pub(crate) fn picojoules(&self, operation: Operation) -> f64 {
        match operation {
            Operation::Add { bits } => self.add.at(f64::from(bits)),
            Operation::MultiplyAdd { bits } => self.multiply.at(f64::from(bits)) + self.add.at(2.0 * f64::from(bits)),
            Operation::Access { bytes, bits, .. } => {
                let bits = f64::from(bits);
                let widths = if bits <= NARROW_BITS {
                    bits / NARROW_BITS
                } else if bits <= LINE_BITS {
                    1.0 + (self.line - 1.0) * (bits - NARROW_BITS) / (LINE_BITS - NARROW_BITS)
                } else {
                    self.line * bits / LINE_BITS
                };
                self.sram.at(bytes as f64) * widths
            }
            Operation::OffChipBit(Dram::Planar) => self.dram,
            Operation::OffChipBit(Dram::Stacked) => self.stacked.unwrap_or(self.dram),
        }
    }
}

/// Bytes of `sram_32kib` in a key that ends in `suffix`.
fn capacity(key: &str, suffix: &str) -> Option<f64> {
    let size = key.strip_suffix(suffix)?.strip_prefix("sram_")?;
    let size = size.strip_suffix("_line").unwrap_or(size);
    let (number, unit) = match (size.strip_suffix("kib"), size.strip_suffix("mib")) {
        (Some(number), _) => (number, 1024.0),
        (None, Some(number)) => (number, 1024.0 * 1024.0),
        (None, None) => return None,
    };
    Some(number.parse::<f64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tariff() -> Tariff {
        Tariff::new(&CostTable::from_toml(include_str!("../../../configs/costs/horowitz-45nm.toml")).unwrap()).unwrap()
    }

    fn near(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 1e-9, "{found}, expected {expected}");
    }

    fn access(bytes: u64, bits: u32) -> Operation {
        Operation::Access { level: Level::Buffers, bytes, bits }
    }

    #[test]
    fn printed_entries_are_met() {
        let tariff = tariff();
        for (operation, picojoules) in [
            (Operation::Add { bits: 8 }, 0.03),
            (Operation::Add { bits: 32 }, 0.1),
            (Operation::MultiplyAdd { bits: 16 }, 0.9),
            (access(8 << 10, 64), 10.0),
            (access(32 << 10, 64), 20.0),
            (access(1 << 20, 64), 100.0),
            (access(32 << 10, 512), 28.1322),
            (Operation::OffChipBit(Dram::Planar), 1300.0 / 64.0),
            (Operation::OffChipBit(Dram::Stacked), 5.0),
        ] {
            near(tariff.picojoules(operation), picojoules);
        }
    }

    #[test]
    fn rules_beyond_the_entries() {
        let tariff = tariff();
        near(tariff.picojoules(Operation::Add { bits: 64 }), 0.2);
        near(tariff.picojoules(access(2 << 10, 64)), 5.0);
        near(tariff.picojoules(access(4 << 20, 64)), 200.0);
        near(tariff.picojoules(access(8 << 10, 16)), 2.5);
        near(tariff.picojoules(access(32 << 10, 1024)), 2.0 * 28.1322);
        let between = tariff.picojoules(access(32 << 10, 256));
        assert!(20.0 < between && between < 28.2, "{between}");
        // The open model of TETRIS has 0.6 and 1 pJ for words of 16 bits in registers of 512 and 1024 bytes at 45 nm.
        assert!((tariff.picojoules(access(512, 16)) / 0.6 - 1.0).abs() < 0.05);
        assert!((tariff.picojoules(access(1024, 16)) / 1.0 - 1.0).abs() < 0.15);
    }

    #[test]
    fn a_table_without_a_kind_of_entry_is_refused() {
        let text = "schema = 1\nname = \"t\"\nsummary = \"s\"\ntechnology_nm = 45\nprices = \"operations\"\n\
                    [add16]\nop_pj = 1\nsource = \"s\"\n[mult16]\nop_pj = 1\nsource = \"s\"\n[dram]\nbit_pj = 1\nsource = \"s\"\n";
        let error = Tariff::new(&CostTable::from_toml(text).unwrap()).unwrap_err().to_string();
        assert!(error.contains("sram_32kib.word64"), "{error}");
    }
}
