//! Planned memory: the values and gradients of all tensors, in slots that they share over time.

use skimp_cpu::nhwc::AlignedVec;
use skimp_memory::Reservation;

use crate::TrainError;

/// Index of a tensor of the compiled network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TensorId(pub(crate) usize);

/// A tensor without its memory. The first axis, the batch, is left out of `dims`.
#[derive(Clone, Debug)]
pub(crate) struct TensorSpec {
    /// Name of the graph's value.
    pub(crate) name: String,
    /// Extents of one image, in the graph's order (`[c, h, w]`, `[features]`, ...).
    pub(crate) dims: Vec<usize>,
    /// Time steps of each image, which lie one behind the other; 1 without time.
    pub(crate) n_steps: usize,
    /// Whether something trainable lies upstream.
    pub(crate) needs_grad: bool,
    /// Whether the value stays readable after the pass, and may have a loss.
    pub(crate) kept: bool,
}

impl TensorSpec {
    /// Elements of one image in one time step.
    pub(crate) fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Elements of one image in all time steps.
    pub(crate) fn volume(&self) -> usize {
        self.len() * self.n_steps
    }

    /// Extent of the channel axis, which is contiguous in memory.
    pub(crate) fn channels(&self) -> usize {
        self.dims.first().copied().unwrap_or(1)
    }

    /// Positions per image.
    pub(crate) fn pixels(&self) -> usize {
        self.dims.iter().skip(1).product()
    }
}

/// When a tensor's value and gradient are needed, on the time line of one training step; see [`Tensors::new`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime {
    pub(crate) birth: usize,
    pub(crate) death: usize,
}

/// All tensors of a network.
#[derive(Debug)]
pub(crate) struct Tensors {
    specs: Vec<TensorSpec>,
    value_slots: Vec<usize>,
    grad_slots: Vec<Option<usize>>,
    slots: Vec<AlignedVec>,
    /// Room for one gradient contribution on its way into a sum.
    pub(crate) scratch: AlignedVec,
    _held: Reservation,
}

impl Tensors {
    /// Assigns slots so that no two tensors alive at the same time share one, and allocates them for `batch` images.
    pub(crate) fn new(
        specs: Vec<TensorSpec>,
        values: &[Lifetime],
        grads: &[Option<Lifetime>],
        batch: usize,
        network: &str,
    ) -> Result<Self, TrainError> {
        let requests: Vec<(usize, bool, Lifetime)> = (0..specs.len())
            .flat_map(|idx| {
                let grad = grads[idx].map(|lifetime| (idx, true, lifetime));
                std::iter::once((idx, false, values[idx])).chain(grad)
            })
            .collect();
        let mut order: Vec<usize> = (0..requests.len()).collect();
        order.sort_by_key(|&r| (requests[r].2.birth, std::cmp::Reverse(specs[requests[r].0].volume()), r));
        let mut slot_lens: Vec<usize> = Vec::new();
        let mut slot_deaths: Vec<usize> = Vec::new();
        let mut assigned = vec![0; requests.len()];
        for r in order {
            let (idx, _, lifetime) = requests[r];
            let len = specs[idx].volume();
            let free = (0..slot_lens.len()).filter(|&slot| slot_deaths[slot] < lifetime.birth);
            // The tightest slot that is large enough, else the largest one, which grows.
            let best = free.min_by_key(|&slot| {
                let enough = slot_lens[slot] >= len;
                (!enough, if enough { slot_lens[slot] } else { usize::MAX - slot_lens[slot] })
            });
            let slot = best.unwrap_or_else(|| {
                slot_lens.push(0);
                slot_deaths.push(0);
                slot_lens.len() - 1
            });
            slot_lens[slot] = slot_lens[slot].max(len);
            slot_deaths[slot] = lifetime.death;
            assigned[r] = slot;
        }
        let mut value_slots = vec![0; specs.len()];
        let mut grad_slots = vec![None; specs.len()];
        for (r, &(idx, is_grad, _)) in requests.iter().enumerate() {
            if is_grad {
                grad_slots[idx] = Some(assigned[r]);
            } else {
                value_slots[idx] = assigned[r];
            }
        }
        let n_elements = slot_lens.iter().fold(0_u64, |sum, &len| sum.saturating_add(len as u64));
        let bytes = skimp_memory::bytes_of::<f32>(n_elements.saturating_mul(batch as u64));
        let held = skimp_memory::reserve(bytes, || format!("training \"{network}\" on batches of {batch} images"))?;
        let slots = slot_lens.into_iter().map(|len| zeros(len, batch, network)).collect::<Result<_, _>>()?;
        Ok(Self { specs, value_slots, grad_slots, slots, scratch: AlignedVec::default(), _held: held })
    }

    pub(crate) fn specs(&self) -> &[TensorSpec] {
        &self.specs
    }

    pub(crate) fn spec(&self, id: TensorId) -> &TensorSpec {
        &self.specs[id.0]
    }

    pub(crate) fn find(&self, name: &str) -> Option<TensorId> {
        self.specs.iter().position(|spec| spec.name == name).map(TensorId)
    }

    /// The value of `batch` images, or of so many time steps of images, channels last.
    pub(crate) fn value(&self, id: TensorId, batch: usize) -> &[f32] {
        &self.slots[self.value_slots[id.0]][..self.specs[id.0].len() * batch]
    }

    /// The gradient of `batch` images, or of so many time steps of images, channels last.
    pub(crate) fn grad(&self, id: TensorId, batch: usize) -> &[f32] {
        match self.grad_slots[id.0] {
            Some(slot) => &self.slots[slot][..self.specs[id.0].len() * batch],
            None => &[],
        }
    }

    /// Takes the memory of a value out, so that the others can be read while it is written.
    pub(crate) fn take_value(&mut self, id: TensorId) -> AlignedVec {
        std::mem::take(&mut self.slots[self.value_slots[id.0]])
    }

    /// Gives the memory of [`take_value`](Tensors::take_value) back.
    pub(crate) fn put_value(&mut self, id: TensorId, memory: AlignedVec) {
        self.slots[self.value_slots[id.0]] = memory;
    }

    /// Takes the memory of a gradient out.
    pub(crate) fn take_grad(&mut self, id: TensorId) -> AlignedVec {
        self.grad_slots[id.0].map(|slot| std::mem::take(&mut self.slots[slot])).unwrap_or_default()
    }

    /// Gives the memory of [`take_grad`](Tensors::take_grad) back.
    pub(crate) fn put_grad(&mut self, id: TensorId, memory: AlignedVec) {
        if let Some(slot) = self.grad_slots[id.0] {
            self.slots[slot] = memory;
        }
    }

    /// Bytes of all slots.
    pub(crate) fn n_bytes(&self) -> usize {
        (self.slots.iter().map(|slot| slot.len()).sum::<usize>() + self.scratch.len()) * size_of::<f32>()
    }
}

/// Memory for `batch` images of `len` elements.
pub(crate) fn zeros(len: usize, batch: usize, network: &str) -> Result<AlignedVec, TrainError> {
    let n_elements = len.checked_mul(batch).filter(|&n| n <= isize::MAX as usize / size_of::<f32>());
    let n_elements = n_elements.ok_or_else(|| TrainError::Network {
        network: network.to_owned(),
        cause: format!("{batch} images of {len} elements do not fit into memory"),
    })?;
    // An allocation that fails would end the process; asked for this way, it can be told.
    let mut probe: Vec<f32> = Vec::new();
    probe.try_reserve_exact(n_elements).map_err(|_| TrainError::Network {
        network: network.to_owned(),
        cause: format!("no memory for {batch} images of {len} elements"),
    })?;
    drop(probe);
    Ok(AlignedVec::zeros(n_elements))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_alive_together_do_not_share() {
        let spec = |len: usize| TensorSpec {
            name: format!("t{len}"),
            dims: vec![len],
            n_steps: 1,
            needs_grad: true,
            kept: false,
        };
        let specs: Vec<TensorSpec> = [4, 6, 5, 3].into_iter().map(spec).collect();
        let values = [(0, 2), (1, 3), (3, 5), (4, 9)].map(|(birth, death)| Lifetime { birth, death });
        let grads = [None, Some(Lifetime { birth: 6, death: 8 }), Some(Lifetime { birth: 5, death: 6 }), None];
        let tensors = Tensors::new(specs, &values, &grads, 2, "test").expect("small");
        let mut all: Vec<(usize, Lifetime)> = (0..4).map(|i| (tensors.value_slots[i], values[i])).collect();
        all.extend((0..4).filter_map(|i| Some((tensors.grad_slots[i]?, grads[i]?))));
        for (i, (slot, a)) in all.iter().enumerate() {
            for (other, b) in &all[..i] {
                assert!(slot != other || a.death < b.birth || b.death < a.birth, "{a:?} {b:?} share {slot}");
            }
        }
        assert_eq!(tensors.slots.len(), 3, "memory is shared over time");
        assert!((0..4).all(|i| tensors.value(TensorId(i), 2).len() == 2 * tensors.specs[i].len()));
    }
}
