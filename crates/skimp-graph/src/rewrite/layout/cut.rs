//! A minimum cut.
//!
//! # Source
//! Dinic, "Algorithm for solution of a problem of maximum flow in networks with power estimation", Soviet Mathematics
//! Doklady 11, 1970. Which costs of yes-or-no choices a cut can express: Kolmogorov and Zabih, "What Energy Functions Can
//! Be Minimized via Graph Cuts?", TPAMI 26(2), 2004.

use std::collections::VecDeque;

/// More than all costs together.
const NEVER: u64 = u64::MAX / 4;

const SOURCE: usize = 0;
const SINK: usize = 1;

#[derive(Clone, Copy, Debug)]
struct Edge {
    to: usize,
    left: u64,
}

/// Choices, numbered from 0, that are taken or not, and what they cost together. Nothing is taken where that costs no
/// more.
#[derive(Clone, Debug)]
pub(super) struct Choices {
    n_choices: usize,
    /// Each edge is followed by its reverse.
    edges: Vec<Edge>,
    from: Vec<Vec<usize>>,
    /// What it costs to take nothing.
    cost_of_none: u64,
}

impl Choices {
    pub(super) fn new(n_choices: usize) -> Self {
        Self { n_choices, edges: Vec::new(), from: vec![Vec::new(); n_choices + 2], cost_of_none: 0 }
    }

    /// It costs to take this one.
    pub(super) fn if_taken(&mut self, choice: usize, cost: u64) {
        self.edge(choice + 2, SINK, cost);
    }

    /// It costs to leave this one.
    pub(super) fn if_left(&mut self, choice: usize, cost: u64) {
        self.edge(SOURCE, choice + 2, cost);
    }

    /// It costs to take any of these; where `unless` is given, only as long as that one is left.
    pub(super) fn if_any_taken(&mut self, choices: &[usize], unless: Option<usize>, cost: u64) {
        let any = self.node();
        choices.iter().for_each(|&choice| self.edge(choice + 2, any, NEVER));
        self.edge(any, unless.map_or(SINK, |choice| choice + 2), cost);
    }

    /// It costs to leave any of these; where `once` is given, only as soon as that one is taken.
    pub(super) fn if_any_left(&mut self, choices: &[usize], once: Option<usize>, cost: u64) {
        if choices.is_empty() {
            return;
        }
        let any = self.node();
        choices.iter().for_each(|&choice| self.edge(any, choice + 2, NEVER));
        self.edge(once.map_or(SOURCE, |choice| choice + 2), any, cost);
    }

    /// Which choices to take; `None` if to take nothing costs least.
    pub(super) fn best(mut self) -> Option<Vec<bool>> {
        if self.flow() >= self.cost_of_none {
            return None;
        }
        // Behind the edges that the flow fills nothing needs to be taken.
        let levels = self.levels();
        Some(levels[2..2 + self.n_choices].iter().map(Option::is_some).collect())
    }

    fn node(&mut self) -> usize {
        self.from.push(Vec::new());
        self.from.len() - 1
    }

    fn edge(&mut self, from: usize, to: usize, capacity: u64) {
        if from == SOURCE {
            self.cost_of_none += capacity;
        }
        for (from, to, left) in [(from, to, capacity), (to, from, 0)] {
            self.from[from].push(self.edges.len());
            self.edges.push(Edge { to, left });
        }
    }

    /// Edges between the source and each node that it reaches.
    fn levels(&self) -> Vec<Option<usize>> {
        let mut levels = vec![None; self.from.len()];
        levels[SOURCE] = Some(0);
        let mut queue = VecDeque::from([(SOURCE, 0)]);
        while let Some((node, level)) = queue.pop_front() {
            for &edge in &self.from[node] {
                let Edge { to, left } = self.edges[edge];
                if left > 0 && levels[to].is_none() {
                    levels[to] = Some(level + 1);
                    queue.push_back((to, level + 1));
                }
            }
        }
        levels
    }

    fn flow(&mut self) -> u64 {
        let mut flow = 0;
        loop {
            let levels = self.levels();
            if levels[SINK].is_none() {
                return flow;
            }
            // The edge of each node that may still lead on.
            let mut next = vec![0; self.from.len()];
            while let Some(path) = self.path(&levels, &mut next) {
                let least = path.iter().map(|&edge| self.edges[edge].left).min().unwrap_or(0);
                for edge in path {
                    self.edges[edge].left -= least;
                    self.edges[edge ^ 1].left += least;
                }
                flow += least;
            }
        }
    }

    /// The edges of a shortest path from the source to the sink.
    fn path(&self, levels: &[Option<usize>], next: &mut [usize]) -> Option<Vec<usize>> {
        let mut path: Vec<usize> = Vec::new();
        loop {
            let node = path.last().map_or(SOURCE, |&edge| self.edges[edge].to);
            if node == SINK {
                return Some(path);
            }
            match self.from[node].get(next[node]) {
                Some(&edge) => {
                    let Edge { to, left } = self.edges[edge];
                    let leads_on =
                        left > 0 && levels[to].is_some() && levels[to] == levels[node].map(|level| level + 1);
                    if leads_on {
                        path.push(edge);
                    } else {
                        next[node] += 1;
                    }
                }
                None => {
                    // A dead end: back, and on with the next edge.
                    let edge = path.pop()?;
                    next[self.edges[edge ^ 1].to] += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All costs by trial: taking a choice is a bit.
    #[test]
    fn the_cheapest_choices_are_found() {
        let mut random = 12_345_u64;
        let mut below = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % n
        };
        let n = 6;
        for _ in 0..300 {
            let mut choices = Choices::new(n);
            let mut costs: Vec<Box<dyn Fn(u32) -> u64>> = Vec::new();
            for _ in 0..below(10) {
                let (cost, lead) = (1 + below(9), below(n as u64) as usize);
                let others: Vec<usize> = (0..n).filter(|&choice| choice != lead && below(3) == 0).collect();
                let taken = move |set: u32, choice: usize| set & (1 << choice) != 0;
                let (any, all) = (others.clone(), others.clone());
                let any_taken = move |set: u32| any.iter().any(|&choice| taken(set, choice));
                let any_left = move |set: u32| all.iter().any(|&choice| !taken(set, choice));
                match below(6) {
                    0 => {
                        choices.if_taken(lead, cost);
                        costs.push(Box::new(move |set| if taken(set, lead) { cost } else { 0 }));
                    }
                    1 => {
                        choices.if_left(lead, cost);
                        costs.push(Box::new(move |set| if taken(set, lead) { 0 } else { cost }));
                    }
                    2 => {
                        choices.if_any_taken(&others, None, cost);
                        costs.push(Box::new(move |set| if any_taken(set) { cost } else { 0 }));
                    }
                    3 => {
                        choices.if_any_taken(&others, Some(lead), cost);
                        costs.push(Box::new(move |set| if any_taken(set) && !taken(set, lead) { cost } else { 0 }));
                    }
                    4 => {
                        choices.if_any_left(&others, None, cost);
                        costs.push(Box::new(move |set| if any_left(set) { cost } else { 0 }));
                    }
                    _ => {
                        choices.if_any_left(&others, Some(lead), cost);
                        costs.push(Box::new(move |set| if any_left(set) && taken(set, lead) { cost } else { 0 }));
                    }
                }
            }
            let total = |set: u32| costs.iter().map(|cost| cost(set)).sum::<u64>();
            let least = (0..1 << n).map(total).min().unwrap();
            let found = choices.best();
            let set = found.as_ref().map_or(0, |taken| (0..n).filter(|&i| taken[i]).map(|i| 1 << i).sum());
            assert_eq!(total(set), least);
            assert_eq!(found.is_none(), total(0) == least);
        }
    }
}
