//! The 256 colours that terminals number.

use ratatui::style::Color;

use super::Rgb;

/// The nearest colour of the 256 that is not one of the 16 that themes redefine; of equally near ones the first. It is
/// the nearest of the cube, whose channels are chosen one by one, or the nearest grey, which is that of the mean.
pub(super) fn nearest_index((r, g, b): Rgb) -> Color {
    let level = |channel: u8| if channel < 48 { 0 } else { ((channel - 36) / 40).max(1) };
    let cube = 16 + 36 * level(r) + 6 * level(g) + level(b);
    let sum = u16::from(r) + u16::from(g) + u16::from(b);
    let grey = 232 + (sum.saturating_sub(10) / 30).min(23) as u8;
    let distance = |index: u8| {
        let (x, y, z) = indexed_rgb(index);
        [(x, r), (y, g), (z, b)].iter().map(|(p, q)| i32::from(p.abs_diff(*q)).pow(2)).sum::<i32>()
    };
    Color::Indexed(if distance(grey) < distance(cube) { grey } else { cube })
}

/// Red, green and blue of one of the 256 colours above the first 16, as xterm defines them.
pub fn indexed_rgb(index: u8) -> Rgb {
    let level = |i: u8| if i == 0 { 0 } else { 55 + 40 * i };
    let cube = index.clamp(16, 231) - 16;
    match index.checked_sub(232) {
        Some(grey) => (8 + 10 * grey, 8 + 10 * grey, 8 + 10 * grey),
        None => (level(cube / 36), level(cube / 6 % 6), level(cube % 6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_come_down_to_the_nearest_of_the_256() {
        assert_eq!(nearest_index((255, 0, 0)), Color::Indexed(196));
    }

    #[test]
    fn the_nearest_of_256_colours_is_that_of_a_search() {
        let distance = |(x, y, z): Rgb, (r, g, b): Rgb| {
            [(x, r), (y, g), (z, b)].iter().map(|(p, q)| i32::from(p.abs_diff(*q)).pow(2)).sum::<i32>()
        };
        let values = || (0..=255u8).step_by(17).chain([47, 48, 74, 76, 114, 116, 154, 156, 254]);
        for r in values() {
            for (g, b) in values().flat_map(|g| values().map(move |b| (g, b))) {
                let nearest = (16..=255u8).min_by_key(|index| distance(indexed_rgb(*index), (r, g, b))).unwrap();
                assert_eq!(nearest_index((r, g, b)), Color::Indexed(nearest), "{r} {g} {b}");
            }
        }
    }
}
