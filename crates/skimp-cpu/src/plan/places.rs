//! Where the values of a plan lie.
//!
//! The layout of a value follows from its own extents and nothing else: [`Places`] is the only one that makes layouts,
//! and always from the shape of the value that is asked for. A value that has another one's elements (a reshape) shares
//! the memory, never the layout.

use std::collections::BTreeMap;

use skimp_graph::ValueId;
use skimp_graph::shape::Shapes;

use super::BufferId;
use super::memory::{Draft, Memory};
use crate::kernels::{Halo, LANES, Planes};

/// How a value lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// Row-major, as in a [`Tensor`](skimp_graph::Tensor).
    Plain,
    /// Blocks of 16 channels, with whatever halo its readers ask for. Only images have this form.
    Blocked,
}

/// Buffers in the making, and the values in them.
#[derive(Debug)]
pub(super) struct Places<'a> {
    shapes: &'a Shapes,
    drafts: Vec<Draft>,
    places: BTreeMap<(ValueId, Form), BufferId>,
}

impl<'a> Places<'a> {
    pub(super) fn new(shapes: &'a Shapes) -> Self {
        Self { shapes, drafts: Vec::new(), places: BTreeMap::new() }
    }

    /// Channels, rows and columns of a value that is one image; a signal `[1, c, l]` is an image of one row.
    pub(super) fn image(&self, id: ValueId) -> Option<[usize; 3]> {
        match *self.shapes.shape(id) {
            [1, c, h, w] => Some([c, h, w]),
            [1, c, l] => Some([c, 1, l]),
            _ => None,
        }
    }

    fn layout(&self, id: ValueId, form: Form) -> Planes {
        match (form, self.image(id)) {
            (Form::Blocked, Some([c, h, w])) => Planes::blocked(c, h, w),
            (Form::Plain, Some([c, h, w])) => Planes::plain(c, h, w),
            (Form::Plain, None) => Planes::plain(1, 1, self.shapes.shape(id).iter().product()),
            (Form::Blocked, None) => unreachable!("only images are blocked"),
        }
    }

    fn draft(&mut self, planes: Planes, memory: Memory) -> BufferId {
        self.drafts.push(Draft { planes, memory });
        self.drafts.len() - 1
    }

    /// A new buffer for a value.
    pub(super) fn place(&mut self, id: ValueId, form: Form) -> BufferId {
        let buffer = self.draft(self.layout(id, form), Memory::Own);
        self.places.insert((id, form), buffer);
        buffer
    }

    /// A new buffer for a plain copy of a value with a halo, for one reader.
    pub(super) fn padded(&mut self, id: ValueId, halo: Halo) -> BufferId {
        self.draft(Planes { halo, ..self.layout(id, Form::Plain) }, Memory::Own)
    }

    /// A new buffer of this layout for one reader.
    pub(super) fn scratch(&mut self, planes: Planes) -> BufferId {
        self.draft(planes, Memory::Own)
    }

    /// The buffer of a value in a form that it has already.
    pub(super) fn get(&self, id: ValueId, form: Form) -> Option<BufferId> {
        self.places.get(&(id, form)).copied()
    }

    /// Whether `a` and `b`, of the same elements in the same order, lie the same way in every form.
    pub(super) fn lie_alike(&self, a: ValueId, b: ValueId) -> bool {
        self.image(a) == self.image(b)
    }

    /// Gives a value the buffers of another one that lies alike.
    pub(super) fn share(&mut self, id: ValueId, of: ValueId) {
        debug_assert!(self.lie_alike(id, of), "values that lie alike");
        for form in [Form::Plain, Form::Blocked] {
            if let Some(buffer) = self.get(of, form) {
                self.places.insert((id, form), buffer);
            }
        }
    }

    /// Gives a value the memory of a plain buffer that holds its elements, in a layout of its own.
    pub(super) fn view(&mut self, id: ValueId, of: BufferId) {
        let planes = self.layout(id, Form::Plain);
        assert!(self.drafts[of].planes.halo == Halo::default(), "a view of elements without gaps");
        assert!(self.drafts[of].planes.checked_len() == planes.checked_len(), "a view of as many elements");
        let whole = match self.drafts[of].memory {
            Memory::Same(whole) => whole,
            Memory::Own | Memory::Part { .. } => of,
        };
        let buffer = self.draft(planes, Memory::Same(whole));
        self.places.insert((id, Form::Plain), buffer);
    }

    /// Widens the halo of a buffer to hold this one.
    pub(super) fn widen(&mut self, buffer: BufferId, halo: Halo) {
        let planes = &mut self.drafts[buffer].planes;
        planes.halo = planes.halo.union(halo);
    }

    /// The buffer whose memory the blocked form of a value uses, if it has one.
    pub(super) fn root(&self, id: ValueId) -> Option<BufferId> {
        let mut buffer = self.get(id, Form::Blocked)?;
        while let Memory::Part { whole, .. } = self.drafts[buffer].memory {
            buffer = whole;
        }
        Some(buffer)
    }

    /// Makes the blocked buffer of a computed value a part of `whole`, from channel `channel` on, so that what writes
    /// the value writes there. Returns whether that can be.
    pub(super) fn embed(&mut self, id: ValueId, whole: BufferId, channel: usize) -> bool {
        let Some(part) = self.get(id, Form::Blocked) else { return false };
        let (inner, outer) = (self.drafts[part].planes, self.drafts[whole].planes);
        let fits = channel.is_multiple_of(LANES)
            && (inner.channels.is_multiple_of(LANES) || channel + inner.channels == outer.channels)
            && (inner.height, inner.width) == (outer.height, outer.width);
        if !fits || self.drafts[part].memory != Memory::Own {
            return false;
        }
        self.drafts[part].memory = Memory::Part { whole, block: channel / LANES };
        true
    }

    /// The buffers, parts and wholes with the same halo.
    pub(super) fn finish(mut self) -> Vec<Draft> {
        // A part is older than its whole, so one pass up and one down reach all.
        for part in 0..self.drafts.len() {
            if let Memory::Part { whole, .. } = self.drafts[part].memory {
                self.widen(whole, self.drafts[part].planes.halo);
            }
        }
        for part in (0..self.drafts.len()).rev() {
            if let Memory::Part { whole, .. } = self.drafts[part].memory {
                self.drafts[part].planes.halo = self.drafts[whole].planes.halo;
            }
        }
        self.drafts
    }
}
