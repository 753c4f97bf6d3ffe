//! Which channels stay or go together.

/// A channel of a value, before it is known which others go with it. [`FIXED`] stands for what never goes.
pub(super) type Label = usize;

/// The label of what stays whatever happens.
pub(super) const FIXED: Label = 0;

/// Why something stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    /// Index of the node that requires it.
    pub(super) node: usize,
    /// The reason.
    pub(super) reason: String,
}

/// Sets of labels that stay or go together.
#[derive(Debug)]
pub(super) struct Classes {
    parents: Vec<Label>,
    /// Of roots: why they stay.
    fixed: Vec<Option<Fixed>>,
}

impl Classes {
    pub(super) fn new() -> Self {
        Self { parents: vec![FIXED], fixed: vec![None] }
    }

    /// As many new labels, each in a class of its own.
    pub(super) fn fresh(&mut self, n: usize) -> Vec<Label> {
        let first = self.parents.len();
        self.parents.extend(first..first + n);
        self.fixed.resize(first + n, None);
        (first..first + n).collect()
    }

    /// How many labels there are, [`FIXED`] included.
    pub(super) fn len(&self) -> usize {
        self.parents.len()
    }

    /// The class of a label, named after its first one.
    pub(super) fn root(&self, mut label: Label) -> Label {
        while self.parents[label] != label {
            label = self.parents[label];
        }
        label
    }

    /// Makes two labels stay or go together; `because` says why, should one of them be [`FIXED`]. Whether this changed
    /// anything.
    pub(super) fn unite(&mut self, a: Label, b: Label, because: impl FnOnce() -> Fixed) -> bool {
        let (a, b) = (self.shorten(a), self.shorten(b));
        let (low, high) = (a.min(b), a.max(b));
        if low == high {
            return false;
        }
        if low == FIXED {
            return self.fix(high, because);
        }
        self.parents[high] = low;
        if let reason @ Some(_) = self.fixed[high].take() {
            self.fixed[low].get_or_insert_with(|| reason.expect("it was just found"));
        }
        true
    }

    /// Makes a label stay. Whether it did not before.
    pub(super) fn fix(&mut self, label: Label, because: impl FnOnce() -> Fixed) -> bool {
        let root = self.shorten(label);
        let is_new = root != FIXED && self.fixed[root].is_none();
        if is_new {
            self.fixed[root] = Some(because());
        }
        is_new
    }

    /// Why a label stays; `None` for [`FIXED`] and for one that may go.
    pub(super) fn reason(&self, label: Label) -> Option<&Fixed> {
        self.fixed[self.root(label)].as_ref()
    }

    /// Whether a label may go.
    pub(super) fn is_free(&self, label: Label) -> bool {
        let root = self.root(label);
        root != FIXED && self.fixed[root].is_none()
    }

    /// [`root`](Self::root), with a shorter way to it from now on.
    fn shorten(&mut self, label: Label) -> Label {
        let root = self.root(label);
        let mut at = label;
        while self.parents[at] != root {
            at = std::mem::replace(&mut self.parents[at], root);
        }
        root
    }
}

#[cfg(test)]
mod tests {
    use super::{Classes, FIXED, Fixed};

    fn because(node: usize) -> Fixed {
        Fixed { node, reason: "test".to_owned() }
    }

    #[test]
    fn classes_join_and_keep_their_reasons() {
        let mut classes = Classes::new();
        let labels = classes.fresh(5);
        assert!(classes.unite(labels[0], labels[1], || because(0)));
        assert!(classes.unite(labels[3], labels[1], || because(0)));
        assert!(!classes.unite(labels[3], labels[0], || because(0)));
        assert_eq!(classes.root(labels[3]), labels[0]);
        assert!(classes.is_free(labels[3]));
        assert!(classes.fix(labels[3], || because(7)));
        assert_eq!(classes.reason(labels[0]).map(|fixed| fixed.node), Some(7));
        assert!(classes.unite(FIXED, labels[4], || because(8)));
        assert!(!classes.unite(labels[4], FIXED, || because(9)));
        assert!(classes.unite(labels[2], labels[4], || because(9)));
        assert_eq!(classes.reason(labels[2]).map(|fixed| fixed.node), Some(8));
        assert!(!classes.is_free(labels[2]) && !classes.is_free(FIXED) && !classes.is_free(labels[1]));
    }
}
