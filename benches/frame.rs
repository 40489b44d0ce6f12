//! A frame of the lab at 160x48: drawn into a buffer, and drawn whole and written out as a terminal would get it.

use std::io::sink;

use divan::Bencher;
use innerloop::tui::capabilities::{Background, Depth};
use innerloop::tui::theme::Theme;
use innerloop::tui::view;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};

#[path = "../tests/fixture/mod.rs"]
mod fixture;

const AREA: Rect = Rect::new(0, 0, 160, 48);

fn main() {
    divan::main();
}

#[divan::bench(max_time = 2)]
fn drawn(bencher: Bencher) {
    let (app, theme, mut buffer) = (fixture::lab(), Theme::new(Depth::True, Background::Dark), Buffer::empty(AREA));
    bencher.bench_local(|| {
        buffer.reset();
        view::render(&app, theme, AREA, &mut buffer);
    });
}

/// With so many kept runs beside the present one: six may take 1.5 times as long as none.
#[divan::bench(max_time = 2, args = [0, 6])]
fn drawn_beside_kept_runs(bencher: Bencher, kept: usize) {
    let (app, theme) = (fixture::compared_long(kept), Theme::new(Depth::True, Background::Dark));
    let mut buffer = Buffer::empty(AREA);
    bencher.bench_local(|| {
        buffer.reset();
        view::render(&app, theme, AREA, &mut buffer);
    });
}

#[divan::bench(max_time = 2)]
fn redrawn_and_written(bencher: Bencher) {
    let (app, theme) = (fixture::lab(), Theme::new(Depth::True, Background::Dark));
    let empty = || {
        let options = TerminalOptions { viewport: Viewport::Fixed(AREA) };
        Terminal::with_options(CrosstermBackend::new(sink()), options).expect("a terminal that is none")
    };
    bencher.with_inputs(empty).bench_local_values(|mut terminal| {
        terminal.draw(|frame| view::render(&app, theme, AREA, frame.buffer_mut())).expect("a write to nowhere");
    });
}
