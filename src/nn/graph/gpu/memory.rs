//! Where the numbers of a block's sequences lie: buffers share a place where they are not needed at the same time.

use std::ops::RangeInclusive;

/// Numbers of each sequence, and when they are needed.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub count: usize,
    pub life: RangeInclusive<usize>,
}

/// Fast memory of a block, or memory of the whole GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Shared,
    Global,
}

/// A buffer's place, in numbers of each sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub space: Space,
    pub at: usize,
}

/// The places of all buffers, and how much of each space they take.
#[derive(Clone, Debug)]
pub struct Layout {
    pub places: Vec<Place>,
    pub shared: usize,
    pub global: usize,
}

fn overlap(a: &RangeInclusive<usize>, b: &RangeInclusive<usize>) -> bool {
    a.start() <= b.end() && b.start() <= a.end()
}

/// Lays buffers out, the largest first, each at the lowest place that is free all its life.
fn pack(buffers: &[Buffer], members: &[usize]) -> (Vec<usize>, usize) {
    let mut order = members.to_vec();
    order.sort_by_key(|i| (std::cmp::Reverse(buffers[*i].count), *i));
    let mut at = vec![0; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut end = 0;
    for i in order {
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|other| overlap(&buffers[**other].life, &buffers[i].life))
            .map(|other| (at[*other], at[*other] + buffers[*other].count))
            .collect();
        taken.sort_unstable();
        let mut from = 0;
        for (start, stop) in taken {
            if from + buffers[i].count <= start {
                break;
            }
            from = from.max(stop);
        }
        at[i] = from;
        end = end.max(from + buffers[i].count);
        placed.push(i);
    }
    (at, end)
}

/// Places for all buffers; as many as fit in `budget` numbers of each sequence are in shared memory, the largest are
/// not.
pub fn lay_out(buffers: &[Buffer], budget: usize) -> Layout {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(buffers[*i].count), *i));
    let mut moved = 0;
    loop {
        let (global, shared) = order.split_at(moved);
        let (in_shared, used) = pack(buffers, shared);
        if used <= budget || shared.is_empty() {
            let (in_global, all) = pack(buffers, global);
            let place = |i: usize| match global.contains(&i) {
                true => Place { space: Space::Global, at: in_global[i] },
                false => Place { space: Space::Shared, at: in_shared[i] },
            };
            let places = (0..buffers.len()).map(place).collect();
            return Layout { places, shared: used, global: all };
        }
        moved += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_that_live_at_the_same_time_do_not_overlap() {
        let lives = [0..=3, 1..=2, 4..=5, 2..=4, 0..=0, 5..=9, 3..=3, 0..=9];
        let buffers: Vec<Buffer> =
            lives.into_iter().enumerate().map(|(i, life)| Buffer { count: 3 + i * 5 % 7, life }).collect();
        for budget in [0, 10, 20, 1000] {
            let layout = lay_out(&buffers, budget);
            assert!(layout.shared <= budget || layout.shared == 0);
            for (a, x) in layout.places.iter().zip(&buffers) {
                let end = if a.space == Space::Shared { layout.shared } else { layout.global };
                assert!(a.at + x.count <= end);
            }
            for i in 0..buffers.len() {
                for j in 0..i {
                    let (a, b) = (layout.places[i], layout.places[j]);
                    let apart = a.at + buffers[i].count <= b.at || b.at + buffers[j].count <= a.at;
                    assert!(a.space != b.space || apart || !overlap(&buffers[i].life, &buffers[j].life), "{i} {j}");
                }
            }
        }
    }
}
