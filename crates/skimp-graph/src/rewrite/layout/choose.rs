//! In which order of axes each node runs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::cut::Choices;
use super::view::{Reader, View};
use crate::ValueId;
use crate::ops::order::{Reordered, inverse, then, with};

/// A node in an order of axes.
type Turned = (Vec<usize>, Reordered);

/// What an order is told apart from others by.
type Kind<'a> = dyn Fn(&[usize]) -> Vec<usize> + 'a;

/// The order in which each node of a view runs.
#[derive(Debug)]
pub(super) struct Choice<'v> {
    view: &'v View<'v>,
    /// For each node that can be turned, its order and what it is there.
    turned: Vec<Option<Turned>>,
}

impl<'v> Choice<'v> {
    /// Every node as the network has it.
    pub(super) fn new(view: &'v View<'v>) -> Self {
        let as_it_is = |(node, ranks): (usize, &Option<crate::ops::order::Ranks>)| {
            let ranks = ranks.as_ref()?;
            let order: Vec<usize> = (0..ranks.frame()).collect();
            let form = view.graph.nodes()[node].op.reordered(&order, ranks)?;
            Some((order, form))
        };
        let turned = view.ranks.iter().enumerate().map(as_it_is).collect();
        Self { view, turned }
    }

    /// What a node is; `None` for one that stays as the network has it.
    pub(super) fn form(&self, node: usize) -> Option<&Reordered> {
        self.turned[node].as_ref().map(|(_, form)| form)
    }

    /// The order in which a root is made.
    pub(super) fn made(&self, root: ValueId) -> Vec<usize> {
        let form = self.view.producers[root.0].and_then(|(node, _)| self.form(node));
        self.view.made(form, root)
    }

    /// Turns groups of nodes as long as that moves fewer elements.
    pub(super) fn improve(&mut self) {
        while self.sweep() {}
    }

    /// Tries every turn that would meet an order wanted somewhere; whether one of them helped.
    fn sweep(&mut self) -> bool {
        let mut helped = false;
        let mut seen: BTreeSet<(usize, Vec<usize>)> = BTreeSet::new();
        for root in (0..self.view.readers.len()).map(ValueId) {
            for (node, order) in self.seeds(root) {
                if seen.contains(&(node, order.clone())) {
                    continue;
                }
                let group = self.group(node, order);
                seen.extend(group.iter().map(|(&node, (order, _))| (node, order.clone())));
                helped |= self.turn(group);
            }
        }
        helped
    }

    /// Nodes at a root that could make or take it in another order that is wanted there.
    fn seeds(&self, root: ValueId) -> Vec<(usize, Vec<usize>)> {
        let view = self.view;
        if view.is_constant(root) {
            return Vec::new();
        }
        let mut orders: BTreeSet<Vec<usize>> = view.left[root.0].iter().cloned().collect();
        orders.insert(self.made(root));
        orders.extend(view.readers[root.0].iter().map(|&reader| view.wanted(self.form(reader.node), reader)));
        if orders.len() < 2 {
            return Vec::new();
        }
        orders.iter().flat_map(|order| self.neighbours(root, order)).collect()
    }

    /// The nodes that make and take a root in this order, and their own orders then.
    fn neighbours(&self, root: ValueId, order: &[usize]) -> Vec<(usize, Vec<usize>)> {
        let producer = self.view.producers[root.0].and_then(|(node, _)| Some((node, self.own(node, order)?)));
        let readers = self.view.readers[root.0].iter().filter_map(|&Reader { node, input }| {
            let id = self.view.graph.nodes()[node].inputs[input]?;
            let taken = then(&inverse(&self.view.sources[id.0].order), order);
            Some((node, self.own(node, &taken)?))
        });
        producer.into_iter().chain(readers).collect()
    }

    /// A node's order that goes with that of one of its operands.
    fn own(&self, node: usize, of_operand: &[usize]) -> Option<Vec<usize>> {
        let frame = self.view.ranks[node].as_ref()?.frame();
        if of_operand.len() == frame {
            return Some(of_operand.to_vec());
        }
        let units = self.view.graph.nodes()[node].op.unit_axes(frame)?;
        let n_left = units.iter().filter(|&&unit| !unit).count();
        (n_left == of_operand.len()).then(|| with(of_operand, &units))
    }

    /// All nodes whose order hangs together with this one.
    fn group(&self, node: usize, order: Vec<usize>) -> BTreeMap<usize, Turned> {
        let mut group = BTreeMap::new();
        let mut queue = VecDeque::from([(node, order)]);
        while let Some((node, order)) = queue.pop_front() {
            if group.contains_key(&node) {
                continue;
            }
            let Some(ranks) = &self.view.ranks[node] else { continue };
            let parts = &self.view.graph.nodes()[node];
            let Some(form) = parts.op.reordered(&order, ranks) else { continue };
            let read = (0..parts.inputs.len()).filter_map(|input| {
                let root = self.view.sources[parts.inputs[input]?.0].root;
                if self.view.is_constant(root) {
                    return None;
                }
                Some((root, self.view.wanted(Some(&form), Reader { node, input })))
            });
            let made = parts.outputs.iter().map(|&id| (id, self.view.made(Some(&form), id)));
            let operands: Vec<(ValueId, Vec<usize>)> = read.chain(made).collect();
            for (root, order) in operands {
                queue.extend(self.neighbours(root, &order).into_iter().filter(|(node, _)| !group.contains_key(node)));
            }
            group.insert(node, (order, form));
        }
        group
    }

    /// Turns those nodes of a group where that moves fewer elements; whether there are any.
    fn turn(&mut self, group: BTreeMap<usize, Turned>) -> bool {
        let is_new = |node: usize, order: &[usize]| self.turned[node].as_ref().is_some_and(|(own, _)| own != order);
        let group: Vec<(usize, Turned)> = group.into_iter().filter(|(node, (order, _))| is_new(*node, order)).collect();
        let numbers: BTreeMap<usize, usize> = group.iter().enumerate().map(|(at, (node, _))| (*node, at)).collect();
        let mut roots = BTreeSet::new();
        for (node, _) in &group {
            let parts = &self.view.graph.nodes()[*node];
            let read = parts.inputs.iter().flatten().map(|id| self.view.sources[id.0].root);
            roots.extend(read.chain(parts.outputs.iter().copied()).filter(|&root| !self.view.is_constant(root)));
        }
        let mut choices = Choices::new(group.len());
        for root in roots {
            let moved = |order: &[usize]| self.view.effective(root, order);
            self.add_costs(root, &group, &numbers, (&moved, self.view.weight(root)), &mut choices);
            // Where only axes of extent 1 move, nothing does; but such a step stands between nodes that could be one.
            self.add_costs(root, &group, &numbers, (&<[usize]>::to_vec, 1), &mut choices);
        }
        let Some(best) = choices.best() else { return false };
        for ((node, turned), is_taken) in group.into_iter().zip(best) {
            if is_taken {
                self.turned[node] = Some(turned);
            }
        }
        true
    }

    /// The costs of a root: one for each `kind` of order, other than that in which it is made, in which it is wanted.
    ///
    /// Exact where nothing of the group is turned, and nowhere too low, so that what is chosen does help: where an order
    /// is wanted by those that are turned and by others, some of the costs that only one of both has count for both.
    fn add_costs(
        &self,
        root: ValueId,
        group: &[(usize, Turned)],
        numbers: &BTreeMap<usize, usize>,
        (order, cost): (&Kind<'_>, u64),
        choices: &mut Choices,
    ) {
        let view = self.view;
        let maker = view.producers[root.0].and_then(|(node, _)| numbers.get(&node).copied());
        let before = order(&self.made(root));
        let after = maker.map_or_else(|| before.clone(), |at| order(&view.made(Some(&group[at].1.1), root)));

        let mut always: BTreeSet<Vec<usize>> = view.left[root.0].iter().map(|left| order(left)).collect();
        let (mut by_left, mut by_taken) = (BTreeMap::new(), BTreeMap::new());
        for &reader in &view.readers[root.0] {
            let wanted = order(&view.wanted(self.form(reader.node), reader));
            match numbers.get(&reader.node) {
                Some(&at) => {
                    let turned = order(&view.wanted(Some(&group[at].1.1), reader));
                    if turned == wanted {
                        always.insert(wanted);
                    } else {
                        by_left.entry(wanted).or_insert_with(Vec::new).push(at);
                        by_taken.entry(turned).or_insert_with(Vec::new).push(at);
                    }
                }
                None => {
                    always.insert(wanted);
                }
            }
        }
        // What is wanted as soon as it is turned into, and before: it costs until the maker turns.
        always.extend(by_left.keys().filter(|&wanted| *wanted == after && *wanted != before).cloned());
        if let Some(maker) = maker {
            for wanted in &always {
                match (*wanted == before, *wanted == after) {
                    (true, false) => choices.if_taken(maker, cost),
                    (false, true) => choices.if_left(maker, cost),
                    _ => {}
                }
            }
        }
        for (wanted, readers) in by_left.iter().filter(|(wanted, _)| !always.contains(*wanted)) {
            match *wanted == before {
                true if before == after => {}
                true => choices.if_any_left(readers, maker, cost),
                false => choices.if_any_left(readers, None, cost),
            }
        }
        for (wanted, readers) in by_taken.iter().filter(|(wanted, _)| !always.contains(*wanted)) {
            match *wanted == after {
                true if before == after => {}
                true => choices.if_any_taken(readers, maker, cost),
                false => choices.if_any_taken(readers, None, cost),
            }
        }
    }
}
