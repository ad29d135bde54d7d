//! Which layer each node stands in, and in which order, so that few edges cross.
//!
//! After K. Sugiyama, S. Tagawa and M. Toda, "Methods for Visual Understanding of Hierarchical System Structures" (IEEE
//! Transactions on Systems, Man, and Cybernetics, 1981): turn the edges of cycles around, put each node one layer right of
//! what leads to it, cut long edges by points in the layers they pass, order the layers by the mean place of neighbours.
//! Every step goes by the order of the input, so the same graph gives the same picture.

use std::collections::BTreeSet;

/// Sweeps over the layers; the best order met is kept.
const SWEEPS: usize = 24;

/// A place in a layer: a node, or the passing of a long edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A node by its number.
    Node(usize),
    /// An edge by its number, where it passes a layer.
    Bend(usize),
}

/// The order of a graph.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers {
    /// The items, numbered.
    pub(super) items: Vec<Item>,
    /// The numbers of the items of each layer, from the top.
    pub(super) order: Vec<Vec<usize>>,
    /// The items that each edge passes, from the left to the right.
    pub(super) ways: Vec<Vec<usize>>,
    /// The connections between items of neighbouring layers.
    links: Vec<(usize, usize)>,
}

/// Which edges go from right to left: the fewest that a walk from the sources finds.
fn turned(nodes: usize, edges: &[(usize, usize)]) -> Vec<bool> {
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); nodes];
    let mut ins = vec![0_usize; nodes];
    for (number, (from, to)) in edges.iter().enumerate() {
        if from != to {
            out[*from].push(number);
            ins[*to] += 1;
        }
    }
    // Nodes that nothing calls come first, then those that call much more than they are called.
    let mut starts: Vec<usize> = (0..nodes).collect();
    starts.sort_by_key(|node| (ins[*node] > 0, ins[*node] as i64 - out[*node].len() as i64));
    let mut turned = vec![false; edges.len()];
    let mut state = vec![0_u8; nodes];
    for start in starts {
        if state[start] != 0 {
            continue;
        }
        // Each entry is a node and how many of its edges were followed.
        let mut stack = vec![(start, 0)];
        state[start] = 1;
        while let Some((node, next)) = stack.last_mut() {
            let Some(edge) = out[*node].get(*next).copied() else {
                state[*node] = 2;
                stack.pop();
                continue;
            };
            *next += 1;
            let to = edges[edge].1;
            match state[to] {
                0 => {
                    state[to] = 1;
                    stack.push((to, 0));
                }
                1 => turned[edge] = true,
                _ => {}
            }
        }
    }
    turned
}

/// The layer of each node: the longest way to it; what has nothing left of it stands right before the first it leads to.
fn ranks(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut rank = vec![0_usize; nodes];
    let mut waits = vec![0_usize; nodes];
    for (_, to) in edges {
        waits[*to] += 1;
    }
    let sources: Vec<usize> = (0..nodes).filter(|node| waits[*node] == 0).collect();
    let mut ready: BTreeSet<usize> = sources.iter().copied().collect();
    while let Some(node) = ready.pop_first() {
        for (_, to) in edges.iter().filter(|(from, _)| *from == node) {
            rank[*to] = rank[*to].max(rank[node] + 1);
            waits[*to] -= 1;
            if waits[*to] == 0 {
                ready.insert(*to);
            }
        }
    }
    for source in sources {
        let nearest = edges.iter().filter(|(from, _)| *from == source).map(|(_, to)| rank[*to]).min();
        rank[source] = nearest.map_or(0, |rank| rank.saturating_sub(1));
    }
    rank
}

impl Layers {
    /// Orders a graph; an edge from a node to itself passes nothing.
    pub(super) fn of(nodes: usize, edges: &[(usize, usize)]) -> Self {
        let turned = turned(nodes, edges);
        let forward: Vec<(usize, usize)> = edges
            .iter()
            .zip(&turned)
            .map(|((from, to), is_turned)| if *is_turned { (*to, *from) } else { (*from, *to) })
            .collect();
        let proper: Vec<(usize, usize)> = forward.iter().copied().filter(|(from, to)| from != to).collect();
        let rank = ranks(nodes, &proper);
        let mut layers = Self {
            items: (0..nodes).map(Item::Node).collect(),
            order: vec![Vec::new(); rank.iter().max().map_or(0, |rank| rank + 1)],
            ways: Vec::with_capacity(edges.len()),
            links: Vec::new(),
        };
        for (node, rank) in rank.iter().enumerate() {
            layers.order[*rank].push(node);
        }
        for (number, (from, to)) in forward.iter().copied().enumerate() {
            let mut way = vec![from];
            if from != to {
                for passed in layers.order.iter_mut().take(rank[to]).skip(rank[from] + 1) {
                    passed.push(layers.items.len());
                    way.push(layers.items.len());
                    layers.items.push(Item::Bend(number));
                }
                way.push(to);
                layers.links.extend(way.windows(2).map(|pair| (pair[0], pair[1])));
            }
            if turned[number] {
                way.reverse();
            }
            layers.ways.push(way);
        }
        layers.uncross();
        layers
    }

    fn places(&self) -> Vec<usize> {
        let mut places = vec![0; self.items.len()];
        for layer in &self.order {
            for (place, item) in layer.iter().enumerate() {
                places[*item] = place;
            }
        }
        places
    }

    fn layer_of(&self) -> Vec<usize> {
        let mut of = vec![0; self.items.len()];
        for (number, layer) in self.order.iter().enumerate() {
            for item in layer {
                of[*item] = number;
            }
        }
        of
    }

    /// How many pairs of edges cross.
    pub(super) fn crossings(&self) -> usize {
        let (places, of) = (self.places(), self.layer_of());
        let mut count = 0;
        for layer in 0..self.order.len() {
            let mut here: Vec<(usize, usize)> = self
                .links
                .iter()
                .filter(|(from, _)| of[*from] == layer)
                .map(|(from, to)| (places[*from], places[*to]))
                .collect();
            here.sort_unstable();
            for (index, (from, to)) in here.iter().enumerate() {
                count += here[..index].iter().filter(|(other, other_to)| other < from && other_to > to).count();
            }
        }
        count
    }

    /// Puts the items of each layer in the order of their neighbours' mean places, to and fro.
    fn uncross(&mut self) {
        let mut left: Vec<Vec<usize>> = vec![Vec::new(); self.items.len()];
        let mut right = left.clone();
        for (from, to) in &self.links {
            left[*to].push(*from);
            right[*from].push(*to);
        }
        let mut best = (self.crossings(), self.order.clone());
        for sweep in 0..SWEEPS {
            if best.0 == 0 {
                break;
            }
            let is_rightward = sweep % 2 == 0;
            let count = self.order.len();
            let layers: Vec<usize> =
                if is_rightward { (1..count).collect() } else { (0..count.saturating_sub(1)).rev().collect() };
            for layer in layers {
                let places = self.places();
                let near = if is_rightward { &left } else { &right };
                let mean = |item: usize| {
                    let near = &near[item];
                    if near.is_empty() {
                        return places[item] as f64;
                    }
                    near.iter().map(|other| places[*other] as f64).sum::<f64>() / near.len() as f64
                };
                let mut keyed: Vec<(f64, usize)> = self.order[layer].iter().map(|item| (mean(*item), *item)).collect();
                // A stable sort keeps equals as they stood.
                keyed.sort_by(|one, other| one.0.total_cmp(&other.0));
                self.order[layer] = keyed.into_iter().map(|(_, item)| item).collect();
            }
            self.exchange_neighbours();
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.order.clone());
            }
        }
        self.order = best.1;
    }

    /// Exchanges neighbours where that uncrosses edges.
    fn exchange_neighbours(&mut self) {
        let mut ends: Vec<Vec<usize>> = vec![Vec::new(); self.items.len()];
        for (from, to) in &self.links {
            ends[*from].push(*to);
            ends[*to].push(*from);
        }
        let of = self.layer_of();
        for layer in 0..self.order.len() {
            for place in 1..self.order[layer].len() {
                let places = self.places();
                let (upper, lower) = (self.order[layer][place - 1], self.order[layer][place]);
                let crossings = |first: usize, second: usize| {
                    let pairs = |one: usize, two: usize| -> usize {
                        ends[one]
                            .iter()
                            .map(|a| ends[two].iter().filter(|b| of[*a] == of[**b] && places[*a] > places[**b]).count())
                            .sum()
                    };
                    pairs(first, second)
                };
                if crossings(lower, upper) < crossings(upper, lower) {
                    self.order[layer].swap(place - 1, place);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_takes_a_layer_each_and_a_cycle_is_broken() {
        let layers = Layers::of(3, &[(0, 1), (1, 2)]);
        assert_eq!(layers.order, [[0], [1], [2]]);
        let layers = Layers::of(3, &[(0, 1), (1, 2), (2, 0)]);
        assert_eq!(layers.order.len(), 3);
        assert_eq!(layers.ways[2].first(), Some(&2), "a turned edge still starts where it starts");
        assert_eq!(layers.ways[2].last(), Some(&0));
        assert_eq!(Layers::of(1, &[(0, 0)]).order, [[0]]);
        assert!(Layers::of(0, &[]).order.is_empty());
    }

    #[test]
    fn crossings_that_can_be_avoided_are() {
        // Drawn in the order of the input, these cross three times.
        let layers = Layers::of(6, &[(0, 5), (1, 4), (2, 3)]);
        assert_eq!(layers.crossings(), 0);
        // A long edge passes the layer between.
        let layers = Layers::of(4, &[(0, 1), (1, 2), (0, 2), (0, 3)]);
        assert_eq!(layers.crossings(), 0);
        assert_eq!(layers.ways[2].len(), 3);
    }

    #[test]
    fn the_same_graph_gives_the_same_order() {
        let edges: Vec<(usize, usize)> =
            (0..60).map(|n| (n * 7 % 20, n * 13 % 20)).filter(|(from, to)| from != to).collect();
        let one = Layers::of(20, &edges);
        assert_eq!(one.order, Layers::of(20, &edges).order);
        let all: BTreeSet<usize> = one.order.iter().flatten().copied().collect();
        assert_eq!(all.len(), one.items.len(), "everything stands once");
    }
}
