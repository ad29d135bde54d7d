//! How high each item stands, so that edges are straight where they can be.

use super::layers::{Item, Layers};

/// Rounds over all layers.
const ROUNDS: usize = 16;

/// The middle of each item; `gap` is the distance of two middles that stand next to each other in a layer.
pub(super) fn heights(layers: &Layers, gap: &dyn Fn(Item, Item) -> f64) -> Vec<f64> {
    let mut middles = vec![0.0; layers.items.len()];
    for layer in &layers.order {
        let mut at = 0.0;
        for (place, item) in layer.iter().enumerate() {
            if place > 0 {
                at += gap(layers.items[layer[place - 1]], layers.items[*item]);
            }
            middles[*item] = at;
        }
        let half = at / 2.0;
        for item in layer {
            middles[*item] -= half;
        }
    }
    let mut near: Vec<Vec<(usize, f64)>> = vec![Vec::new(); layers.items.len()];
    for way in &layers.ways {
        for pair in way.windows(2) {
            // A long edge is straightened before a short one.
            let is_bend = |item: usize| matches!(layers.items[item], Item::Bend(_));
            let weight = match (is_bend(pair[0]), is_bend(pair[1])) {
                (true, true) => 8.0,
                (false, false) => 1.0,
                _ => 2.0,
            };
            near[pair[0]].push((pair[1], weight));
            near[pair[1]].push((pair[0], weight));
        }
    }
    for round in 0..ROUNDS {
        let count = layers.order.len();
        let order: Vec<usize> = if round % 2 == 0 { (0..count).collect() } else { (0..count).rev().collect() };
        for layer in order {
            let items = &layers.order[layer];
            let wanted: Vec<f64> = items
                .iter()
                .map(|item| {
                    let near = &near[*item];
                    let weights: f64 = near.iter().map(|(_, weight)| weight).sum();
                    if weights == 0.0 {
                        return middles[*item];
                    }
                    near.iter().map(|(other, weight)| middles[*other] * weight).sum::<f64>() / weights
                })
                .collect();
            let gaps: Vec<f64> =
                items.windows(2).map(|pair| gap(layers.items[pair[0]], layers.items[pair[1]])).collect();
            for (item, middle) in items.iter().zip(apart(&wanted, &gaps)) {
                middles[*item] = middle;
            }
        }
    }
    middles
}

/// The places nearest to those wanted (by the sum of squares) that keep the order and these distances.
///
/// Taking the distances off, what is left must not fall: pools of neighbours that would are put on their mean (the
/// pool-adjacent-violators algorithm of isotonic regression).
fn apart(wanted: &[f64], gaps: &[f64]) -> Vec<f64> {
    let mut before = Vec::with_capacity(wanted.len());
    let mut sum = 0.0;
    for place in 0..wanted.len() {
        before.push(sum);
        sum += gaps.get(place).copied().unwrap_or(0.0);
    }
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (wanted, before) in wanted.iter().zip(&before) {
        pools.push((wanted - before, 1));
        while let [.., (left, left_count), (right, right_count)] = pools.as_slice()
            && left > right
        {
            let count = left_count + right_count;
            let mean = (left * *left_count as f64 + right * *right_count as f64) / count as f64;
            pools.truncate(pools.len() - 2);
            pools.push((mean, count));
        }
    }
    let flat = pools.into_iter().flat_map(|(mean, count)| std::iter::repeat_n(mean, count));
    flat.zip(before).map(|(place, before)| place + before).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_keep_their_distance_and_stay_near() {
        assert_eq!(apart(&[0.0, 100.0], &[10.0]), [0.0, 100.0]);
        assert_eq!(apart(&[50.0, 50.0], &[10.0]), [45.0, 55.0]);
        assert_eq!(
            apart(&[5.0, 0.0, 0.0, 90.0], &[10.0, 10.0, 10.0]),
            [-8.333_333_333_333_334, 1.666_666_666_666_666, 11.666_666_666_666_666, 90.0]
        );
        assert!(apart(&[], &[]).is_empty());
    }

    #[test]
    fn a_chain_is_straight() {
        let layers = Layers::of(4, &[(0, 1), (1, 2), (2, 3)]);
        let middles = heights(&layers, &|_, _| 40.0);
        assert!(middles.iter().all(|middle| middle.abs() < 1e-6), "{middles:?}");
    }
}
