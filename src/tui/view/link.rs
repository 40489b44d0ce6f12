//! The link to the terminal, in one line.

use crate::tui::pacer::{Capacity, Link};

/// "sends 3.1 kB/s, 2.3 frames/s   link 5.0 kB/s   round trip 40 ms   B: close".
pub fn text(link: &Link) -> String {
    let capacity = match link.capacity {
        Some(Capacity::Measured(rate)) => format!("link {}", per_second(rate)),
        Some(Capacity::AtLeast(rate)) => format!("link over {}", per_second(rate)),
        None if link.round_trip.is_some() => "link not measured yet".to_owned(),
        None => "the terminal does not report".to_owned(),
    };
    let sends = format!("sends {}, {:.1} frames/s", per_second(link.sent), link.frames);
    let round_trip = link.round_trip.map(|time| format!("round trip {} ms", time.as_millis()));
    let parts = [Some(sends), Some(capacity), round_trip, Some("B: close".to_owned())];
    parts.into_iter().flatten().collect::<Vec<_>>().join("   ")
}

fn per_second(bytes: f64) -> String {
    let (value, unit) = if bytes < 1e6 { (bytes / 1e3, "kB/s") } else { (bytes / 1e6, "MB/s") };
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_known_is_said_and_fits_eighty_columns() {
        let mut link = Link { sent: 4_873.0, frames: 6.24, ..Link::default() };
        assert_eq!(text(&link), "sends 4.9 kB/s, 6.2 frames/s   the terminal does not report   B: close");
        link.round_trip = Some(Duration::from_millis(240));
        assert!(text(&link).contains("   link not measured yet   round trip 240 ms   "));
        link.capacity = Some(Capacity::Measured(4_980.0));
        assert!(text(&link).contains("   link 5.0 kB/s   round trip"));
        (link.capacity, link.sent) = (Some(Capacity::AtLeast(999_400.0)), 24_000.0);
        assert!(text(&link).contains("   link over 999 kB/s   ") && text(&link).len() < 80, "{}", text(&link));
        link.capacity = Some(Capacity::AtLeast(1e7));
        assert!(text(&link).contains("   link over 10 MB/s   "));
    }
}
