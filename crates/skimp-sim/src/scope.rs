//! What an energy covers: scopes, and the sets of them that a table prices or leaves out.

use std::fmt;

/// The part of a design in which energy is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Multipliers, adders and serial lanes.
    Mac,
    /// Register files and accumulators beside the arithmetic.
    Registers,
    /// Buffers that one array, or one element of it, fills and drains.
    Buffers,
    /// Memory on the chip that holds whole maps or weights.
    OnChip,
    /// Networks between buffers, elements and arrays, and control.
    Network,
    /// Off-chip memory, its interface included.
    OffChip,
    /// Power that flows whether or not there is work: leakage, clock, refresh.
    Static,
    /// The whole chip in one sum that its source does not break down: every scope but off-chip memory.
    Chip,
}

impl Scope {
    /// The scopes in the order of tables; [`Chip`](Scope::Chip), which stands for several of them, comes last.
    pub const ALL: [Scope; 8] = [
        Scope::Mac,
        Scope::Registers,
        Scope::Buffers,
        Scope::OnChip,
        Scope::Network,
        Scope::OffChip,
        Scope::Static,
        Scope::Chip,
    ];

    /// Key in JSON, snake_case.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Scope::Mac => "mac",
            Scope::Registers => "registers",
            Scope::Buffers => "buffers",
            Scope::OnChip => "on_chip",
            Scope::Network => "network",
            Scope::OffChip => "off_chip",
            Scope::Static => "static",
            Scope::Chip => "chip",
        }
    }

    /// What it is called in front of readers.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Scope::Mac => "MAC",
            Scope::Registers => "registers",
            Scope::Buffers => "buffers",
            Scope::OnChip => "on-chip memory",
            Scope::Network => "network",
            Scope::OffChip => "off-chip",
            Scope::Static => "static",
            Scope::Chip => "chip",
        }
    }
}

/// A set of scopes, in their order.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// No scope.
    pub const NONE: Scopes = Scopes(0);

    /// The scopes of a list.
    #[must_use]
    pub fn of(scopes: &[Scope]) -> Scopes {
        scopes.iter().copied().collect()
    }

    /// Whether a scope is in the set.
    #[must_use]
    pub fn contains(self, scope: Scope) -> bool {
        self.0 >> scope as u8 & 1 == 1
    }

    /// With one more scope. The whole chip stands for every scope but off-chip memory.
    #[must_use]
    pub fn with(self, scope: Scope) -> Scopes {
        let every_on_chip = !(1u8 << Scope::OffChip as u8);
        Scopes(self.0 | if scope == Scope::Chip { every_on_chip } else { 1 << scope as u8 })
    }

    /// Scopes of either set.
    #[must_use]
    pub fn union(self, other: Scopes) -> Scopes {
        Scopes(self.0 | other.0)
    }

    /// Scopes that are not in `other`.
    #[must_use]
    pub fn without(self, other: Scopes) -> Scopes {
        Scopes(self.0 & !other.0)
    }

    /// The scopes in their order, without [`Scope::Chip`]: those that it stands for are all there.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |&scope| scope != Scope::Chip && self.contains(scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Scopes::NONE, Scopes::with)
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What an energy covers. Energies of two designs compare only where table and node are the same and the same scopes are
/// left out; a scope in which a design has nothing is not left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Scopes in the sum.
    pub priced: Scopes,
    /// Scopes in which the design spends energy that is not in the sum: the table has no cost for what was counted
    /// there, or the model does not count it.
    pub left_out: Scopes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chip_stands_for_all_but_off_chip_memory() {
        let chip = Scopes::of(&[Scope::Chip]);
        let all: Vec<Scope> = chip.iter().collect();
        assert_eq!(all.len(), 6);
        assert!(!all.contains(&Scope::OffChip));
        assert_eq!(Scopes::of(&[Scope::Mac, Scope::OffChip]).without(chip), Scopes::of(&[Scope::OffChip]));
        assert_eq!(Scopes::of(&[Scope::Static, Scope::Mac]).iter().collect::<Vec<_>>(), [Scope::Mac, Scope::Static]);
    }
}
