//! Where the nodes of a graph stand and how its edges run, in pixels.

use super::layers::{Item, Layers};
use super::straighten::heights;

/// The width of a node.
pub(crate) const NODE_WIDTH: f64 = 172.0;
/// The height of a node.
pub(crate) const NODE_HEIGHT: f64 = 46.0;
/// The distance between two layers, where edges and their labels are.
const LAYER_GAP: f64 = 118.0;
/// The distance between two nodes of a layer.
const NODE_GAP: f64 = 30.0;
/// The distance between an edge that passes a layer and what stands beside it.
const BEND_GAP: f64 = 18.0;
const MARGIN: f64 = 12.0;
/// A label's size.
const LABEL: (f64, f64) = (96.0, 26.0);

/// A graph laid out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    /// The size of the picture.
    pub(crate) size: (f64, f64),
    /// The left upper corner of each node.
    pub(crate) nodes: Vec<(f64, f64)>,
    /// The edges, in the order they were given.
    pub(crate) edges: Vec<Way>,
}

/// How an edge runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Way {
    /// The path's shape.
    pub(crate) shape: String,
    /// The middle of its label, where there is room for one.
    pub(crate) label: Option<(f64, f64)>,
}

type Point = (f64, f64);

impl Layout {
    /// Lays out a graph of so many nodes; `edges` are pairs of their numbers. The same graph gives the same picture.
    pub(crate) fn of(nodes: usize, edges: &[(usize, usize)]) -> Self {
        let layers = Layers::of(nodes, edges);
        let half = |item: Item| if matches!(item, Item::Node(_)) { NODE_HEIGHT / 2.0 } else { 0.0 };
        let gap = |one: Item, other: Item| {
            let is_bend = matches!(one, Item::Bend(_)) || matches!(other, Item::Bend(_));
            half(one) + half(other) + if is_bend { BEND_GAP } else { NODE_GAP }
        };
        let mut middles = heights(&layers, &gap);
        let top =
            layers.items.iter().zip(&middles).map(|(item, middle)| middle - half(*item)).fold(f64::INFINITY, f64::min);
        for middle in &mut middles {
            *middle += MARGIN - top;
        }
        let mut left = vec![0.0; layers.items.len()];
        for (number, layer) in layers.order.iter().enumerate() {
            for item in layer {
                left[*item] = MARGIN + number as f64 * (NODE_WIDTH + LAYER_GAP);
            }
        }
        let bottom = layers.items.iter().zip(&middles).map(|(item, middle)| middle + half(*item)).fold(0.0, f64::max);
        let count = layers.order.len().max(1) as f64;
        let size = (MARGIN * 2.0 + count * NODE_WIDTH + (count - 1.0) * LAYER_GAP, bottom + MARGIN);
        let nodes_at: Vec<Point> = (0..nodes).map(|node| (left[node], middles[node] - NODE_HEIGHT / 2.0)).collect();
        let ways = Self::ways(&layers, edges, &left, &middles);
        let edges = Self::labelled(ways, &nodes_at);
        Self { size, nodes: nodes_at, edges }
    }

    /// The points that each edge goes through. Edges at one side of a node are spread over it in the order of where they go.
    fn ways(layers: &Layers, edges: &[(usize, usize)], left: &[f64], middles: &[f64]) -> Vec<Vec<Point>> {
        // Every end of an edge: node, whether at its right side, height of the next point, edge, whether its first end.
        let mut ends: Vec<(usize, bool, f64, usize, bool)> = Vec::new();
        for (number, way) in layers.ways.iter().enumerate() {
            let [first, .., last] = way.as_slice() else { continue };
            let (second, before_last) = (way[1], way[way.len() - 2]);
            ends.push((*first, left[second] > left[*first], middles[second], number, true));
            ends.push((*last, left[before_last] > left[*last], middles[before_last], number, false));
        }
        ends.sort_by(|one, other| {
            (one.0, one.1).cmp(&(other.0, other.1)).then(one.2.total_cmp(&other.2)).then(one.3.cmp(&other.3))
        });
        let mut at = vec![[(0.0, 0.0); 2]; edges.len()];
        let mut start = 0;
        while start < ends.len() {
            let same = ends[start..].iter().take_while(|end| (end.0, end.1) == (ends[start].0, ends[start].1)).count();
            for (place, (node, is_right, _, edge, is_first)) in ends[start..start + same].iter().copied().enumerate() {
                let spread = (NODE_HEIGHT - 16.0).min(8.0 * (same - 1) as f64);
                let offset = if same > 1 { spread * (place as f64 / (same - 1) as f64 - 0.5) } else { 0.0 };
                let x = left[node] + if is_right { NODE_WIDTH } else { 0.0 };
                at[edge][usize::from(!is_first)] = (x, middles[node] + offset);
            }
            start += same;
        }
        layers
            .ways
            .iter()
            .enumerate()
            .map(|(number, way)| {
                if way.len() < 2 {
                    // From a node to itself: a loop over its right side.
                    let node = edges[number].0;
                    let (right, middle) = (left[node] + NODE_WIDTH, middles[node]);
                    return vec![(right, middle - 12.0), (right + 34.0, middle), (right, middle + 12.0)];
                }
                let mut points = vec![at[number][0]];
                for item in &way[1..way.len() - 1] {
                    // A passed layer is crossed from side to side on one height.
                    let (one, other) = ((left[*item], middles[*item]), (left[*item] + NODE_WIDTH, middles[*item]));
                    let is_leftward = points.last().is_some_and(|(x, _)| *x > one.0);
                    points.extend(if is_leftward { [other, one] } else { [one, other] });
                }
                points.push(at[number][1]);
                points
            })
            .collect()
    }

    /// Shapes with labels, each at the first place on its way where it covers no node and no other label.
    fn labelled(ways: Vec<Vec<Point>>, nodes: &[Point]) -> Vec<Way> {
        let mut taken: Vec<(Point, Point)> =
            nodes.iter().map(|(x, y)| ((*x, *y), (x + NODE_WIDTH, y + NODE_HEIGHT))).collect();
        ways.into_iter()
            .map(|points| {
                let label = places_on(&points).into_iter().find(|(x, y)| {
                    let (low, high) = ((x - LABEL.0 / 2.0, y - LABEL.1 / 2.0), (x + LABEL.0 / 2.0, y + LABEL.1 / 2.0));
                    let is_free = |((left, top), (right, bottom)): &(Point, Point)| {
                        high.0 <= *left || low.0 >= *right || high.1 <= *top || low.1 >= *bottom
                    };
                    let is_free = taken.iter().all(is_free);
                    if is_free {
                        taken.push((low, high));
                    }
                    is_free
                });
                Way { shape: shape(&points), label }
            })
            .collect()
    }
}

/// Points of a way where a label may stand, the best first: the middle of its pieces, then beside it.
fn places_on(points: &[Point]) -> Vec<Point> {
    let pieces: Vec<(Point, Point)> = points.windows(2).map(|pair| (pair[0], pair[1])).collect();
    let mut places = Vec::new();
    for share in [0.5, 0.42, 0.58, 0.35, 0.65] {
        for (from, to) in pieces.iter().rev() {
            places.push(on_curve(*from, *to, share));
        }
    }
    let beside: Vec<Point> =
        places.iter().flat_map(|(x, y)| [(*x, y - 13.0), (*x, y + 13.0), (*x, y - 22.0), (*x, y + 22.0)]).collect();
    places.extend(beside);
    places
}

/// A point of the curve that [`shape`] draws between two points.
fn on_curve(from: Point, to: Point, share: f64) -> Point {
    let middle = f64::midpoint(from.0, to.0);
    let rest = 1.0 - share;
    let bezier = |a: f64, b: f64, c: f64, d: f64| {
        rest.powi(3) * a + 3.0 * rest.powi(2) * share * b + 3.0 * rest * share.powi(2) * c + share.powi(3) * d
    };
    (bezier(from.0, middle, middle, to.0), bezier(from.1, from.1, to.1, to.1))
}

fn shape(points: &[Point]) -> String {
    use std::fmt::Write as _;
    let mut shape = String::new();
    let Some(first) = points.first() else { return shape };
    // Writing to a String cannot fail.
    let _ = write!(shape, "M{:.1} {:.1}", first.0, first.1);
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let middle = f64::midpoint(x0, x1);
        let _ = if (y0 - y1).abs() < 0.05 {
            write!(shape, "L{x1:.1} {y1:.1}")
        } else {
            write!(shape, "C{middle:.1} {y0:.1} {middle:.1} {y1:.1} {x1:.1} {y1:.1}")
        };
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shop of the demo.
    fn shop() -> (usize, Vec<(usize, usize)>) {
        (
            12,
            vec![
                (0, 1),
                (1, 2),
                (2, 3),
                (2, 4),
                (2, 5),
                (3, 6),
                (3, 7),
                (3, 8),
                (4, 9),
                (6, 10),
                (7, 11),
                (3, 9),
                (5, 11),
            ],
        )
    }

    #[test]
    fn no_two_nodes_overlap_and_all_are_in_the_picture() {
        let (nodes, edges) = shop();
        let layout = Layout::of(nodes, &edges);
        for (number, (x, y)) in layout.nodes.iter().enumerate() {
            assert!(*x >= 0.0 && *y >= 0.0 && x + NODE_WIDTH <= layout.size.0 && y + NODE_HEIGHT <= layout.size.1);
            for (other_x, other_y) in &layout.nodes[..number] {
                assert!((x - other_x).abs() >= NODE_WIDTH || (y - other_y).abs() >= NODE_HEIGHT);
            }
        }
        assert_eq!(layout.edges.len(), edges.len());
        assert!(layout.edges.iter().all(|way| way.shape.starts_with('M')));
    }

    #[test]
    fn callers_stand_left_of_what_they_call() {
        let (nodes, edges) = shop();
        let layout = Layout::of(nodes, &edges);
        assert!(edges.iter().all(|(from, to)| layout.nodes[*from].0 < layout.nodes[*to].0));
    }

    #[test]
    fn a_picture_is_stable() {
        let (nodes, edges) = shop();
        assert_eq!(Layout::of(nodes, &edges), Layout::of(nodes, &edges));
        let many: Vec<(usize, usize)> = (0..400).map(|n| (n * 31 % 150, n * 57 % 150)).collect();
        assert_eq!(Layout::of(150, &many), Layout::of(150, &many));
    }
}
