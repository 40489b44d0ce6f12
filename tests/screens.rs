//! What the screens show: as text in snapshots, their colours apart, and that no size and no data break them.

mod fixture;

use std::sync::Arc;
use std::time::Duration;

use innerloop::preset::{self, Entry, Preset};
use innerloop::train::{
    DeviceChoice, DivergenceCause, Grid, History, LayerState, ProbeSequence, Snapshot, SnapshotParts, StepReport,
    TimeStep,
};
use innerloop::tui::app::{App, Gallery};
use innerloop::tui::capabilities::{Background, Depth};
use innerloop::tui::glyphs::Glyphs;
use innerloop::tui::layout;
use innerloop::tui::message::{
    Action, EditorAction, EffectResult, GalleryAction as G, LabAction, LessonAction, Message, Move,
};
use innerloop::tui::pacer::{Capacity, Link};
use innerloop::tui::pane::Pane;
use innerloop::tui::theme::{Role, Theme};
use innerloop::tui::view;
use innerloop::worker::{Jump, Note, Phase, Status, Update};
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 36), (160, 48)];
const DEPTHS: [Depth; 4] = [Depth::True, Depth::Indexed, Depth::Ansi, Depth::None];

fn render(app: &App, depth: Depth, (width, height): (u16, u16)) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    view::render(app, Theme::new(depth, Background::Dark), area, &mut buffer);
    buffer
}

fn text(buffer: &Buffer) -> String {
    let rows = buffer.content.chunks(buffer.area.width.max(1) as usize);
    let row = |cells: &[ratatui::buffer::Cell]| cells.iter().map(|cell| cell.symbol()).collect::<String>();
    rows.map(|cells| row(cells).trim_end().to_owned() + "\n").collect()
}

fn updated(mut app: App, update: Update) -> App {
    app.update(Message::Worker(Box::new(update)));
    app
}

fn with_phase(phase: Phase) -> App {
    updated(fixture::lab(), Update { status: Some(fixture::status(phase)), ..Update::default() })
}

/// The lab with its value cursor some way back, and a part of the steps shown.
fn values() -> App {
    let mut app = fixture::lab();
    let keys = [
        Action::Lab(LabAction::ToggleValues),
        Action::Lab(LabAction::ZoomSteps { closer: true }),
        Action::Move(Move::PageUp),
        Action::Move(Move::Left),
    ];
    keys.into_iter().for_each(|action| drop(app.update(Message::Key(action))));
    app
}

/// The lab back at an earlier state, with what followed dotted.
fn rewound() -> App {
    let steps = (0..=30).map(|i| 100 * i);
    let mut history = History::default();
    for step in steps.clone().take_while(|step| *step <= 1_000) {
        history.record_measurement(&fixture::measurement(step));
    }
    let status = Status { step: 1_000, ..fixture::status(Phase::Paused) };
    let update = Update {
        opened: Some(fixture::opened()),
        jump: Some(Jump::Rewound),
        history: Some(history),
        status: Some(status),
        kept_states: Some(steps.collect()),
        ..Update::default()
    };
    updated(fixture::lab(), update)
}

/// The editor with one value that is changed, and one that was refused.
fn editor_with_error() -> App {
    let mut app = fixture::lab();
    let keys = [EditorAction::Edit, EditorAction::Type('5'), EditorAction::Accept].map(Action::Editor);
    let next = [Action::Move(Move::Down), Action::Move(Move::Down)];
    let again = [EditorAction::Edit, EditorAction::Type('x'), EditorAction::Accept].map(Action::Editor);
    let all = [Action::OpenEditor].into_iter().chain(keys).chain(next).chain(again);
    all.for_each(|action| drop(app.update(Message::Key(action))));
    app
}

/// The lab that shows what is known of a slow link.
fn on_a_slow_link() -> App {
    let mut app = fixture::lab();
    app.update(Message::Key(Action::ToggleLink));
    let (capacity, round_trip) = (Some(Capacity::Measured(4_980.0)), Some(Duration::from_millis(240)));
    app.link = app.link.map(|_| Link { capacity, round_trip, sent: 4_870.0, frames: 6.2 });
    app
}

/// Every screen that there is, by name.
fn screens() -> Vec<(&'static str, App)> {
    let after = |mut app: App, actions: &[Action]| {
        actions.iter().for_each(|action| drop(app.update(Message::Key(action.clone()))));
        app
    };
    let zoomed = |pane| {
        let mut app = after(fixture::lab(), &[Action::Lab(LabAction::ToggleZoom)]);
        app.lab.as_mut().unwrap().focus = pane;
        app
    };
    let failed = Note::Failed("cuda:0: no GPU answers\nstart with --device cpu".to_owned());
    vec![
        ("gallery", fixture::gallery()),
        ("lessons", fixture::lessons::list()),
        ("lesson-question", fixture::lessons::question()),
        ("lesson", fixture::lessons::lesson()),
        ("lesson-ended", fixture::lessons::ended()),
        ("lesson-projector", after(fixture::lessons::lesson(), &[Action::ToggleProjector])),
        ("lesson-answer", fixture::lessons::answer()),
        ("sessions", after(fixture::gallery(), &[Action::Gallery(G::NextTab)])),
        ("rename", after(fixture::gallery(), &[G::NextTab, G::Rename].map(Action::Gallery))),
        ("delete", after(fixture::gallery(), &[G::NextTab, G::Mark, G::Delete].map(Action::Gallery))),
        ("lab", fixture::lab()),
        ("opening", fixture::empty_lab()),
        ("finished", fixture::finished()),
        ("diverged", with_phase(Phase::Diverged { at: 345, cause: DivergenceCause::Loss })),
        ("rewound", rewound()),
        ("failed", updated(fixture::empty_lab(), Update { notes: vec![failed], ..Update::default() })),
        ("help", after(fixture::lab(), &[Action::Help])),
        ("help-gallery", after(fixture::gallery(), &[Action::Help])),
        ("help-pane", after(fixture::lab(), &[Action::Lab(LabAction::FocusNext), Action::Explain])),
        ("help-preset", after(fixture::lab(), &[Action::Explain, Action::NextHelpPage { back: false }])),
        ("help-words", after(fixture::gallery(), &[Action::Explain])),
        ("question", after(fixture::lab(), &[Action::Quit])),
        ("values", values()),
        ("added", after(fixture::lab(), &[Action::Lab(LabAction::ToggleAdded), Action::Move(Move::Left)])),
        ("projector-opening", after(fixture::empty_lab(), &[Action::ToggleProjector])),
        ("projector", after(fixture::lab(), &[Action::ToggleProjector])),
        ("link", on_a_slow_link()),
        ("editor", after(fixture::lab(), &[Action::OpenEditor])),
        ("editor-typing", editor_with_error()),
        ("zoomed-loss", zoomed(Pane::Loss)),
        ("zoomed-state", zoomed(Pane::State)),
        ("zoomed-distance", zoomed(Pane::Distance)),
        ("zoomed-context", zoomed(Pane::Context)),
        ("zoomed-cost", zoomed(Pane::Cost)),
        ("zoomed-map", zoomed(Pane::Map)),
        ("zoomed-predictions", zoomed(Pane::Predictions)),
        ("zoomed-weights", zoomed(Pane::Weights)),
        ("zoomed-probes", zoomed(Pane::Probes)),
        ("zoomed-attention-form", zoomed(Pane::AttentionForm)),
        ("zoomed-stepper", zoomed(Pane::Stepper)),
        ("zoomed-impulse", zoomed(Pane::Impulse)),
        ("zoomed-shift", zoomed(Pane::Shift)),
        (
            "shifted",
            updated(
                after(fixture::lab(), &[Action::Lab(LabAction::MeasureShifts)]),
                Update { shifts: fixture::shifts(), ..Update::default() },
            ),
        ),
        ("zoomed-claims", zoomed(Pane::Claims)),
        ("compared", fixture::compared(3)),
        ("over-seconds", fixture::over_seconds()),
        ("several", fixture::several()),
        ("sweep", fixture::sweep()),
        ("runs", after(fixture::compared(3), &[Action::Lab(LabAction::ShowRuns)])),
        (
            "zoomed-runs",
            after(fixture::compared(6), &[Action::Lab(LabAction::ShowRuns), Action::Lab(LabAction::ToggleZoom)]),
        ),
    ]
}

#[test]
fn the_screens_look_like_this() {
    for (name, app) in screens() {
        for size in SIZES {
            // The large sizes of the rare screens would say nothing new.
            let often = ["gallery", "sessions", "lab", "lesson", "finished", "help", "values", "compared", "sweep"]
                .contains(&name);
            if often || size == SIZES[0] {
                let name = format!("{name}-{}x{}", size.0, size.1);
                insta::assert_snapshot!(name, text(&render(&app, Depth::True, size)));
            }
        }
    }
    insta::assert_snapshot!("lab-without-colours", text(&render(&fixture::lab(), Depth::None, SIZES[2])));
    insta::assert_snapshot!("lab-in-words", text(&render(&fixture::lab(), Depth::True, (50, 12))));
}

/// What a lesson must not show before its answer, in any pane and on any page of the help.
#[test]
fn no_answer_is_on_the_screen_before_it_is_revealed() {
    let spoils = |screen: &str| {
        let texts = [
            "claims held",
            fixture::lessons::RIGHT,
            fixture::lessons::REVEAL,
            "Equal to one step",
            "is the nearest",
            "●  equal",
        ];
        let flat = screen.split_whitespace().collect::<Vec<_>>().join(" ");
        texts.into_iter().find(|text| flat.contains(text))
    };
    // What is looked for is what is seen without a lesson.
    assert_eq!(spoils(&text(&render(&fixture::finished(), Depth::None, (120, 36)))), Some("claims held"));
    for (mut app, name) in [(fixture::lessons::lesson(), "running"), (fixture::lessons::ended(), "ended")] {
        for _ in Pane::ALL {
            for size in SIZES {
                let seen = text(&render(&app, Depth::None, size));
                assert_eq!(spoils(&seen), None, "{name}:\n{seen}");
                assert!(seen.contains("Each point is one prediction."), "{seen}");
            }
            app.update(Message::Key(Action::Lab(LabAction::FocusNext)));
        }
        app.update(Message::Key(Action::Help));
        for _ in 0..4 {
            assert_eq!(spoils(&text(&render(&app, Depth::None, (120, 60)))), None, "{name}");
            app.update(Message::Key(Action::NextHelpPage { back: false }));
        }
    }
    let question = text(&render(&fixture::lessons::question(), Depth::None, (80, 24)));
    assert!(
        question.contains(fixture::lessons::RIGHT)
            && !question.contains(fixture::lessons::REVEAL)
            && !question.contains('✓')
    );
    let answer = text(&render(&fixture::lessons::answer(), Depth::None, (80, 24)));
    assert!(
        answer.contains(&format!("✓ 2  {}", fixture::lessons::RIGHT)) && answer.contains("← your answer"),
        "{answer}"
    );
}

/// A lesson shows few panes, and large; that of the claims would say nothing before the answer.
#[test]
fn a_lesson_has_four_panes_at_most_and_none_of_claims() {
    for (width, height) in [(80, 24), (120, 36), (160, 48), (200, 60)] {
        let app = fixture::lessons::lesson();
        let panes = layout::lab(app.lab.as_ref().unwrap(), Rect::new(0, 0, width, height)).panes;
        assert!(panes.len() <= 4 && panes.iter().all(|(pane, _)| *pane != Pane::Claims), "{width}x{height}: {panes:?}");
    }
}

/// A projector shows the losses of all runs, each with its digit.
#[test]
fn a_projector_shows_every_run() {
    let mut app = fixture::compared(2);
    app.update(Message::Key(Action::ToggleProjector));
    for size in [(80, 24), (160, 48)] {
        let shown = text(&render(&app, Depth::True, size));
        assert!(["● 0.207", "1 0.207", "2 0.217"].iter().all(|run| shown.contains(run)), "{shown}");
    }
}

/// A pane without content says whether it is being measured, or why there is nothing to measure; never both.
#[test]
fn empty_panes_say_which_it_is() {
    let area = Rect::new(0, 0, 66, 18);
    let shown = |parts: SnapshotParts, pane: Pane| {
        let none = Snapshot {
            parts,
            linear_probes: None,
            answers_by_pairs: None,
            attention_form: None,
            ..fixture::snapshot()
        };
        let app = updated(fixture::lab(), Update { snapshot: Some(none.into()), ..Update::default() });
        let mut buffer = Buffer::empty(area);
        let theme = Theme::new(Depth::None, Background::Dark);
        pane.render_content(app.lab.as_ref().unwrap(), theme, area, &mut buffer);
        text(&buffer)
    };
    let all = SnapshotParts { linear_probes: true, answers_by_pairs: true, attention_form: true };
    for pane in [Pane::Probes, Pane::AttentionForm, Pane::Stepper] {
        let (before, after) = (shown(SnapshotParts::default(), pane), shown(all, pane));
        assert!(before.contains("being measured …") && !before.contains("This"), "{before}");
        assert!(!after.contains("measured") && !after.trim().is_empty(), "{after}");
    }
}

/// Nothing of the lessons that come with the program is cut at 80x24.
#[test]
fn every_lesson_fits_on_a_small_screen() {
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for entry in innerloop::lesson::all() {
        let lesson = entry.lesson.unwrap();
        let mut app = fixture::gallery();
        app.open_lesson(entry.name.clone(), lesson.clone());
        let seen = |app: &App| {
            let inside = text(&render(app, Depth::None, (80, 24))).replace(['│', '▸'], " ");
            flat(&inside)
        };
        let question = seen(&app);
        for text in [&lesson.question, &lesson.background].into_iter().chain(lesson.answers.iter().map(|a| &a.text)) {
            assert!(question.contains(&flat(text)), "{}: {text}\n{question}", entry.name);
        }
        app.update(Message::Key(Action::Lesson(LessonAction::Skip)));
        app.update(Message::Result(EffectResult::Started { title: String::new() }));
        for (place, stage) in lesson.stages.iter().enumerate() {
            assert!(seen(&app).contains(&flat(&stage.look_for)), "{}, stage {place}: {}", entry.name, seen(&app));
            app.update(Message::Key(Action::Lesson(LessonAction::Next)));
            if place + 1 < lesson.stages.len() && lesson.runs(place) != lesson.runs(place + 1) {
                app.update(Message::Result(EffectResult::Started { title: String::new() }));
            }
        }
        let answer = seen(&app);
        assert!(answer.contains(&flat(&lesson.reveal)), "{}: {answer}", entry.name);
        assert_eq!(answer.matches("not measured").count(), lesson.claims().count(), "{}: {answer}", entry.name);
        let claims = text(&render(&app, Depth::None, (80, 24)));
        let cut = claims.lines().find(|line| line.contains("not measured") && line.contains('…'));
        assert_eq!(cut, None, "{}", entry.name);
    }
}

#[test]
fn the_ascii_glyphs_are_all_that_is_shown() {
    let ascii = |app: &App, depth, (width, height): (u16, u16)| {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        view::render(app, Theme::new(depth, Background::Dark).with_glyphs(Glyphs::Ascii), area, &mut buffer);
        buffer
    };
    for (name, app) in screens() {
        for size in [SIZES[0], SIZES[2], (50, 12)] {
            for depth in [Depth::True, Depth::None] {
                let buffer = ascii(&app, depth, size);
                assert!(buffer.content.iter().all(|cell| cell.symbol().is_ascii()), "{name}: {}", text(&buffer));
            }
        }
    }
    insta::assert_snapshot!("lab-in-ascii", text(&ascii(&fixture::lab(), Depth::None, SIZES[1])));
}

#[test]
fn every_pane_shows_its_numbers() {
    let area = Rect::new(0, 0, 66, 18);
    let shown = |app: &App, pane: Pane, depth| {
        let mut buffer = Buffer::empty(area);
        pane.render_content(app.lab.as_ref().unwrap(), Theme::new(depth, Background::Dark), area, &mut buffer);
        text(&buffer)
    };
    let lab = updated(fixture::finished(), Update { shifts: fixture::shifts(), ..Update::default() });
    for &pane in Pane::ALL {
        insta::assert_snapshot!(format!("pane-{pane:?}"), shown(&lab, pane, Depth::None));
        // Before the first report a pane has nothing to show but must render.
        shown(&fixture::empty_lab(), pane, Depth::True);
    }
}

#[test]
fn every_size_renders_without_a_panic() {
    let screens = screens();
    let sizes = (1..=200u16).step_by(7).chain([2, 3, 59, 60, 61, 109, 110, 111]);
    for width in sizes {
        for height in [1, 2, 3, 4, 5, 7, 11, 15, 16, 17, 24, 33, 34, 48, 60] {
            for (_, app) in &screens {
                render(app, Depth::True, (width, height));
                render(app, Depth::None, (width, height));
            }
        }
    }
}

#[test]
fn numbers_that_are_none_are_gaps_and_not_panics() {
    let nan = f32::NAN;
    let grid = || Grid { rows: 2, columns: 3, values: vec![nan, f32::INFINITY, 0.0, -1.0], axes: ("y", "x") };
    let layer = LayerState { state: grid(), aligned: Some(grid()), added: Some(grid()), cosine: Some(f64::NAN) };
    let stop = TimeStep {
        token: 1,
        label: "x\u{1b}[31m".to_owned(),
        pairs: 1,
        last_pair: None,
        accumulator: grid(),
        layers: vec![layer],
    };
    let none = TimeStep { layers: vec![], ..stop.clone() };
    let mut measurement = fixture::measurement(10);
    measurement.eval_loss = f64::NAN;
    measurement.equivalence.loss_gap = f64::INFINITY;
    measurement.equivalence.prediction_difference_relative = f64::NAN;
    let mut opened = fixture::opened();
    opened.references.iter_mut().for_each(|reference| reference.loss = f64::NAN);
    for time_steps in [vec![], vec![stop], vec![none]] {
        for probes in [vec![], vec![ProbeSequence { time_steps }]] {
            let snapshot = Snapshot {
                step: 10,
                tokens: 1,
                layer_names: vec![],
                probes,
                parity: vec![(nan, 1.0), (0.0, f32::INFINITY), (0.0, 0.0)],
                weights: vec![],
                parts: SnapshotParts::default(),
                linear_probes: None,
                answers_by_pairs: None,
                attention_form: None,
                impulse_response: None,
            };
            let update = Update {
                opened: Some(opened.clone()),
                history: Some(History::default()),
                measurements: vec![measurement.clone()],
                snapshot: Some(snapshot.into()),
                ..Update::default()
            };
            let app = updated(fixture::lab(), update);
            SIZES.iter().for_each(|&size| drop(render(&app, Depth::True, size)));
        }
    }
}

#[test]
fn escape_sequences_from_files_never_reach_the_terminal() {
    let mut app = fixture::gallery();
    let evil = "evil\u{1b}]0;title\u{7}\u{202e}";
    app.update(Message::Result(EffectResult::Started { title: evil.to_owned() }));
    let note = Note::Failed(evil.to_owned());
    let mut opened = fixture::opened();
    (opened.device, opened.name) = (evil.to_owned(), evil.to_owned());
    let app = updated(app, Update { opened: Some(opened), notes: vec![note], ..Update::default() });
    let shown = text(&render(&app, Depth::True, SIZES[1]));
    assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown}");
}

#[test]
fn a_colour_means_one_thing_in_every_pane() {
    let buffer = render(&fixture::lab(), Depth::True, SIZES[2]);
    let style_at = |word: &str| {
        let screen = text(&buffer);
        let (row, line) = screen.lines().enumerate().find(|(_, line)| line.contains(word)).unwrap();
        let column = line[..line.find(word).unwrap()].chars().count();
        buffer[(column as u16, row as u16)].style()
    };
    let theme = Theme::new(Depth::True, Background::Dark);
    for word in ["GD-1 0.2061", "GD-1 1.8 %", "● equal to one GD step", "Σ y xᵀ"] {
        assert_eq!(style_at(word).fg, theme.role(Role::Gd).fg, "{word}");
    }
    for word in ["model, held out", "model's state", "▶ training"] {
        assert_eq!(style_at(word).fg, theme.role(Role::Model).fg, "{word}");
    }
    for word in ["zero 0.4167", "zero 98 %"] {
        assert_eq!(style_at(word).fg, theme.role(Role::Zero).fg, "{word}");
    }
}

#[test]
fn no_screen_uses_more_colours_than_the_terminal_has() {
    for (name, app) in screens() {
        for depth in DEPTHS {
            let buffer = render(&app, depth, SIZES[2]);
            for color in buffer.content.iter().flat_map(|cell| [cell.fg, cell.bg]) {
                let fits = match depth {
                    Depth::True => true,
                    Depth::Indexed => !matches!(color, Color::Rgb(..)),
                    Depth::Ansi => !matches!(color, Color::Rgb(..) | Color::Indexed(_)),
                    Depth::None => color == Color::Reset,
                };
                assert!(fits, "{name} at {depth:?}: {color:?}");
            }
        }
    }
}

#[test]
fn the_focus_and_the_chosen_row_show_without_colours() {
    let lab = text(&render(&fixture::lab(), Depth::None, SIZES[1]));
    assert!(lab.contains('┏') && lab.contains('╭'), "{lab}");
    let gallery = render(&fixture::gallery(), Depth::None, SIZES[0]);
    assert!(gallery.content.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)));
}

#[test]
fn places_depend_on_the_size_and_not_on_the_numbers() {
    let borders = |app: &App| {
        let screen = text(&render(app, Depth::True, SIZES[2]));
        let corner =
            |(row, line): (usize, &str)| line.chars().position(|c| "╭┏".contains(c)).map(|column| (row, column));
        screen.lines().enumerate().filter_map(corner).collect::<Vec<_>>()
    };
    assert_eq!(borders(&fixture::lab()), borders(&fixture::empty_lab()));
    assert_eq!(borders(&fixture::lab()), borders(&with_phase(Phase::Diverged { at: 3, cause: DivergenceCause::Loss })));
}

#[test]
fn details_that_are_longer_than_the_screen_can_be_read_to_their_end() {
    let mut app = fixture::gallery();
    let long: Vec<String> = (0..150).map(|i| format!("word{i}")).collect();
    let preset = Preset { about: long.join(" "), ..fixture::preset() };
    app.gallery = Gallery::new(vec![Entry { name: "long".to_owned(), preset: Ok(preset) }], DeviceChoice::Auto);
    let mut seen = String::new();
    for _ in 0..6 {
        seen += &text(&render(&app, Depth::True, SIZES[0]));
        app.update(Message::Key(Action::Move(Move::PageDown)));
    }
    assert!(long.iter().all(|word| seen.contains(word)), "{seen}");
    assert!(seen.contains("PgDn: down") && seen.contains("device auto"), "{seen}");
}

#[test]
fn the_footer_says_what_the_space_bar_does_now() {
    let footer = |app: &App| text(&render(app, Depth::True, SIZES[0])).lines().last().unwrap().to_owned();
    let (loss_by_pairs, paused) = (footer(&fixture::lab()), footer(&with_phase(Phase::Paused)));
    assert!(loss_by_pairs.contains("Space pause") && paused.contains("Space train"), "{paused}");
    assert_eq!(loss_by_pairs.find("speed").unwrap(), paused.find("speed").unwrap());
}

#[test]
fn the_footer_of_a_run_that_another_program_trains_offers_nothing_that_trains() {
    let watched = with_phase(Phase::Watched { age: 2, writer: None });
    let footer = text(&render(&watched, Depth::True, SIZES[0])).lines().last().unwrap().to_owned();
    assert!(footer.contains("? keys") && footer.contains("Tab pane"), "{footer}");
    assert!(!["Space", "[ ]", "change"].iter().any(|key| footer.contains(key)), "{footer}");
}

#[test]
fn the_value_cursor_shows_the_values_of_every_curve_at_one_step() {
    let app = values();
    let step = app.lab.as_ref().unwrap().steps.cursor.unwrap();
    let history = &app.lab.as_ref().unwrap().history;
    let loss = history.eval_loss.at(step).unwrap();
    let difference = history.prediction_difference.at(step).unwrap();
    assert_eq!((loss.step, loss.count), (step, 1));
    let shown = text(&render(&app, Depth::True, SIZES[2]));
    let number = innerloop::numbers::count(step);
    for words in [
        format!("Loss at step {number}"),
        format!("Distance to GD-1 at step {number}"),
        format!("model, held out {:.4}", loss.mean),
        format!("predictions  differ by {}", innerloop::numbers::percent(f64::from(difference.mean))),
        format!(" {number} "),
    ] {
        assert!(shown.contains(&words), "{words}: {shown}");
    }
    assert!(shown.contains('┊'));
    let narrow = text(&render(&app, Depth::True, SIZES[0]));
    assert!(narrow.contains(&format!("Loss at step {number}")), "{narrow}");
}

#[test]
fn curves_over_seconds_lie_at_their_seconds_and_a_run_without_them_says_so() {
    let mut app = fixture::over_seconds();
    app.update(Message::Key(Action::Lab(LabAction::ToggleValues)));
    // At 6.8 seconds of both; the kept run was twice as fast, and had ended before.
    let shown = text(&render(&app, Depth::True, SIZES[2]));
    let lab = app.lab.as_ref().unwrap();
    let last = lab.kept[0].history.eval_loss.last().unwrap().1;
    for words in ["Loss at step 3,400", "6.8", "2 – seed 2", &format!("1 {last:.4} seed 1"), "┃sec "] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    // Half way back on the axis of seconds, of 10: 1.8 s, step 900 here, and 1,800 there.
    app.update(Message::Key(Action::Move(Move::PageUp)));
    let lab = app.lab.as_ref().unwrap();
    let step = lab.steps.cursor.unwrap();
    let other = lab.kept[0].history.eval_loss.at(2 * step).unwrap().mean;
    assert_eq!(step, 900);
    let shown = text(&render(&app, Depth::True, SIZES[2]));
    assert!(shown.contains(&format!("1 {other:.4} seed 1")), "{other} {shown}");
    // Operations are not known of any of them: the run was kept without.
    app.update(Message::Key(Action::Lab(LabAction::NextAxisUnit)));
    let shown = text(&render(&app, Depth::True, SIZES[2]));
    assert!(shown.contains("not known: X"), "{shown}");
}

#[test]
fn losses_of_runs_with_different_tasks_are_shares_of_predicting_zero() {
    let mut app = fixture::several();
    let held_out = |app: &App| {
        let lab = app.lab.as_ref().unwrap();
        let (others, _) = lab.overlaid();
        (lab.loss_curve(&lab.history.eval_loss).value(1.0), others[0].eval_loss().value(1.0))
    };
    assert_eq!(held_out(&app), (1.0, 1.0));
    assert!(!text(&render(&app, Depth::True, (120, 36))).contains("÷ zero's"));
    let other = &mut app.lab.as_mut().unwrap().others[0];
    let opened = other.opened.as_mut().unwrap();
    let changed = preset::set(&opened.preset, [("task.dim", "3")]).unwrap();
    opened.preset = Arc::new(changed);
    opened.references[0].loss = 0.5;
    assert_eq!(held_out(&app), (1.0 / 0.4167, 2.0));
    let screen = text(&render(&app, Depth::True, (120, 36)));
    // Zero's loss is 1, that of GD-1 its share.
    assert!(screen.contains("÷ zero's") && screen.contains("zero 1.000") && screen.contains("GD-1 0.4946"), "{screen}");
}

#[test]
fn the_help_begins_with_the_keys_of_the_screen_that_is_open() {
    let first = |app: App, actions: &[Action]| {
        let mut app = app;
        actions.iter().for_each(|action| drop(app.update(Message::Key(action.clone()))));
        text(&render(&app, Depth::True, SIZES[0])).lines().nth(1).unwrap().to_owned()
    };
    let values = Action::Lab(LabAction::ToggleValues);
    assert!(first(fixture::gallery(), &[Action::Help]).contains("Gallery"));
    assert!(first(fixture::lab(), &[Action::Help]).contains("Lab"));
    assert!(first(fixture::lab(), &[values, Action::Help]).contains("Value cursor"));
    assert!(first(fixture::lab(), &[Action::OpenEditor, Action::Help]).contains("Experiment"));
}

#[test]
fn every_pane_explains_itself() {
    for &pane in Pane::ALL {
        let about = pane.about();
        assert!(about.len() > 100 && about.ends_with('.'), "{pane:?}");
        // What would be seen if the model were equal to the reference.
        let says = ["Equal", "equal", "held"].iter().any(|word| about.contains(word));
        assert!(says, "{pane:?}: {about}");
    }
}

#[test]
fn the_token_under_the_cursor_is_the_same_in_every_pane() {
    let mut app = fixture::lab();
    let keys = [Action::Lab(LabAction::ToggleAdded), Action::Move(Move::First), Action::Move(Move::Right)];
    keys.into_iter().for_each(|action| drop(app.update(Message::Key(action))));
    let shown = text(&render(&app, Depth::True, SIZES[2]));
    for words in
        ["Added by token 3 of 21 (x2)", "added to the state", "y xᵀ", "x 0.00 0.00", "y −0.20", "Loss after 1 example,"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn the_larger_the_screen_the_more_panes() {
    let app = fixture::lab();
    let lab = app.lab.as_ref().unwrap();
    for (size, count) in [((80, 24), 2), ((120, 36), 4), ((149, 60), 4), ((160, 48), 6), ((200, 60), 6)] {
        let panes = layout::lab(lab, Rect::new(0, 0, size.0, size.1)).panes;
        assert_eq!(panes.len(), count, "{size:?}");
        for (i, (pane, area)) in panes.iter().enumerate() {
            let others = &panes[i + 1..];
            assert!(others.iter().all(|(other, place)| pane != other && !area.intersects(*place)), "{size:?} {pane:?}");
        }
        let covered: u32 = panes.iter().map(|(_, area)| area.area()).sum();
        let top = panes.iter().map(|(_, area)| area.top()).min().unwrap();
        assert_eq!(covered, u32::from(size.0) * u32::from(size.1 - 1 - top), "no gap at {size:?}");
    }
}

#[test]
fn the_difference_from_the_accumulator_is_shown_on_small_screens() {
    for (size, depth) in [((80, 24), Depth::True), ((100, 30), Depth::True), ((80, 24), Depth::None)] {
        let shown = text(&render(&fixture::lab(), depth, size));
        assert!(shown.contains("diff") && shown.contains("Σ y xᵀ"), "{size:?} {depth:?}: {shown}");
    }
}

#[test]
fn a_spike_of_one_step_is_seen() {
    // Below the top of the axis, which it therefore does not move; right of the marks and above the curves.
    let spike = StepReport { step: fixture::STEP + 1, loss: 0.9, lr: 0.001 };
    let struck = updated(fixture::lab(), Update { steps: vec![spike], ..Update::default() });
    let dots = |app: &App| {
        let screen = text(&render(app, Depth::True, SIZES[2]));
        let cells = screen.lines().skip(4).take(5).flat_map(|line| line.chars().skip(30).take(20));
        cells.filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count()
    };
    assert_eq!(dots(&fixture::lab()), 0);
    assert!(dots(&struck) >= 4, "a stem from the spike down");
}

#[test]
fn the_speed_is_the_pace_only_where_the_pace_holds_the_run_back() {
    let shown = |pace, steps_per_second| {
        let status = Status { pace: Some(pace), steps_per_second, ..fixture::status(Phase::Running) };
        text(&render(
            &updated(fixture::lab(), Update { status: Some(status), ..Update::default() }),
            Depth::True,
            SIZES[0],
        ))
    };
    let (held, slow) = (shown(500.0, 499.0), shown(500.0, 100.0));
    assert!(held.contains("≤ 500/s   6 s left"), "{held}");
    assert!(slow.contains("100/s   26 s left") && !slow.contains('≤'), "{slow}");
}

#[test]
fn six_kept_runs_take_at_most_half_as_many_bytes_again() {
    /// Bytes of the first frame, and of the one after 50 further steps.
    fn bytes(mut app: App, size: (u16, u16)) -> [usize; 2] {
        let area = Rect::new(0, 0, size.0, size.1);
        let mut buffers = vec![Buffer::empty(area), render(&app, Depth::True, size)];
        let steps = (1..=50).map(|i| StepReport { step: fixture::STEP + i, loss: 0.21, lr: 0.001 }).collect();
        let status = Status { step: fixture::STEP + 50, ..fixture::status(Phase::Running) };
        let measurements = vec![fixture::measurement(fixture::STEP + 50)];
        let update = Update { steps, measurements, status: Some(status), ..Update::default() };
        app.update(Message::Worker(Box::new(update)));
        buffers.push(render(&app, Depth::True, size));
        let frame = |pair: &[Buffer]| {
            let mut written = Vec::new();
            CrosstermBackend::new(&mut written).draw(pair[0].diff(&pair[1]).into_iter()).unwrap();
            written.len()
        };
        [frame(&buffers[..2]), frame(&buffers[1..])]
    }
    for size in SIZES {
        let [(first, first_six), (next, next_six)] = {
            let (none, six) = (bytes(fixture::compared_long(0), size), bytes(fixture::compared_long(6), size));
            [(none[0], six[0]), (none[1], six[1])]
        };
        println!("{size:?}: first frame {first} and {first_six} bytes, next frame {next} and {next_six}");
        assert!(first_six * 2 <= first * 3, "{size:?}: {first} and {first_six}");
        assert!(next_six * 2 <= next * 3, "{size:?}: {next} and {next_six}");
    }
}

#[test]
fn no_number_of_the_costs_is_cut() {
    let mut app = fixture::lab();
    (0..3).for_each(|_| drop(app.update(Message::Key(Action::Lab(LabAction::FocusNext)))));
    for size in SIZES {
        let shown = text(&render(&app, Depth::True, size));
        assert!(shown.contains("flops a query") && shown.contains("24,150"), "{shown}");
    }
}

#[test]
fn no_number_of_the_distances_is_cut() {
    let mut app = fixture::lab();
    (0..2).for_each(|_| drop(app.update(Message::Key(Action::Lab(LabAction::FocusNext)))));
    let cut = text(&render(&app, Depth::True, SIZES[0]));
    let whole = text(&render(&app, Depth::True, SIZES[1]));
    assert!(whole.contains("differ by 1.8 %, ‖·‖ 0.0124"), "{whole}");
    let shown = cut.lines().find(|line| line.contains("● predictions")).unwrap();
    assert!(shown.contains("‖·‖ 0.0124") || !shown.contains('‖'), "{shown}");
}

#[test]
fn a_list_that_is_longer_than_the_screen_says_where_it_goes_on() {
    let mut app = fixture::gallery();
    let entry = |i: usize| Entry { name: format!("preset{i}"), preset: Ok(fixture::preset()) };
    app.gallery = Gallery::new((0..40).map(entry).collect(), DeviceChoice::Auto);
    let shown = |app: &App| {
        let list = layout::gallery(app.gallery.tab, Rect::new(0, 0, 80, 24)).list;
        let buffer = render(app, Depth::None, SIZES[0]);
        [("▲", list.top() + 1), ("▼", list.bottom() - 1)]
            .map(|(arrow, row)| buffer[(list.right() - 1, row)].symbol() == arrow)
    };
    assert_eq!(shown(&app), [false, true]);
    (0..20).for_each(|_| drop(app.update(Message::Key(Action::Move(Move::Down)))));
    assert_eq!(shown(&app), [true, true]);
    app.update(Message::Key(Action::Move(Move::Last)));
    assert_eq!(shown(&app), [true, false]);
}

#[test]
fn no_line_of_the_help_is_cut() {
    let mut app = fixture::lab();
    app.update(Message::Key(Action::Help));
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for width in [60, 80, 120] {
        let screen = text(&render(&app, Depth::None, (width, 400)));
        // Of two columns only the first is looked at.
        let rows = screen.lines().map(|line| line.trim_matches('│').to_owned() + "\n").collect::<String>();
        let rows = flat(&rows);
        for row in innerloop::tui::keymap::table() {
            assert!(rows.contains(&flat(row.help)), "{} at {width}: {rows}", row.help);
        }
    }
}

#[test]
fn of_several_runs_the_shifts_show_whether_they_are_worse_than_zero() {
    let mut app = fixture::several();
    let lab = app.lab.as_mut().unwrap();
    lab.shifts = fixture::shifts();
    lab.others[0].shifts = fixture::shifts();
    lab.update(LabAction::Focus(Pane::Shift));
    for size in SIZES {
        let screen = text(&render(&app, Depth::None, size));
        assert!(screen.contains("loss ÷ zero's"), "{screen}");
        let row = screen.lines().find(|line| line.contains("range × 2")).unwrap();
        // 9.12 of the model where zero costs 16.62.
        assert!(row.matches("0.549").count() == 2, "{row}");
    }
}

#[test]
fn the_question_about_unsaved_steps_names_what_follows_and_counts_what_the_file_lacks() {
    let saved = |saved_step| {
        let mut app = fixture::lab();
        let status = Status { saved_step, ..fixture::status(Phase::Paused) };
        app = updated(app, Update { status: Some(status), ..Update::default() });
        app
    };
    for (saved_step, action, title, steps) in [
        (None, Action::Quit, "Quit?", "3,412 steps are not saved."),
        (Some(3_400), Action::Restart { next_seed: true }, "Restart with the next seed?", "12 steps are"),
        (Some(3_411), Action::Back, "Back to the gallery?", "One step is not saved."),
        // The file holds a later state: another course of the run.
        (Some(3_500), Action::Restart { next_seed: false }, "Restart?", "3,412 steps are not saved."),
    ] {
        let mut app = saved(saved_step);
        app.update(Message::Key(action));
        let screen = text(&render(&app, Depth::None, SIZES[0]));
        assert!(screen.contains(title) && screen.contains(steps), "{title}: {screen}");
    }
}

#[test]
fn beyond_its_schedule_a_run_has_no_step_of_fewer() {
    let status = Status { step: 7_000, ..fixture::status(Phase::Watched { age: 0, writer: None }) };
    let app = updated(fixture::lab(), Update { status: Some(status), ..Update::default() });
    for size in SIZES {
        let screen = text(&render(&app, Depth::None, size));
        assert!(screen.contains("step 7,000 (6,000 planned)"), "{screen}");
        // That nothing more will come is said where space is shortest, too.
        assert!(screen.contains("no longer trained"), "{screen}");
    }
}

#[test]
fn no_number_and_no_name_of_a_sweep_or_of_the_sessions_is_cut() {
    let heads = ["preset", "task.context", "runs", "loss", "loss / gd-1", "distance to gd-1", "nearest"];
    for width in [60, 80, 100, 120] {
        let screen = text(&render(&fixture::sweep(), Depth::None, (width, 36)));
        let rows: Vec<_> = screen.lines().collect();
        let head = rows.iter().rposition(|row| row.starts_with(" preset")).unwrap();
        // Whole columns: the head has whole names, and every deviation has the number of its runs.
        let names: Vec<_> = rows[head].split("  ").map(str::trim).filter(|name| !name.is_empty()).collect();
        assert!(names.len() >= 4 && names.iter().all(|name| heads.contains(name)), "{names:?}");
        assert!(rows[head + 1].matches('±').count() == rows[head + 1].matches('(').count(), "{screen}");
    }
    let mut app = fixture::gallery();
    app.update(Message::Key(Action::Gallery(G::NextTab)));
    for width in [40, 50, 60, 70, 80, 100, 120, 160, 200] {
        let screen = text(&render(&app, Depth::None, (width, 24)));
        let head = screen.lines().find(|row| row.contains("title")).unwrap().replace('▲', "");
        let names = ["title", "seed", "changed", "step", "loss", "nearest", "when", "file"];
        assert!(head.split_whitespace().all(|name| names.contains(&name)), "{width}: {head}");
        let row = screen.lines().find(|row| row.contains("0.2065")).unwrap();
        assert!(row.contains("min ago") || !head.contains("when"), "{width}: {row}");
    }
}

#[test]
fn curves_with_the_same_dots_keep_the_order_of_their_names() {
    // The model's loss is a little above that of GD-1, and a little below.
    for loss in [0.2062, 0.2060] {
        let mut app = fixture::lab();
        let lab = app.lab.as_mut().unwrap();
        lab.history.latest.as_mut().unwrap().eval_loss = loss;
        lab.history.latest.as_mut().unwrap().step += 100;
        let screen = text(&render(&app, Depth::None, SIZES[1]));
        let row = |name: &str| screen.lines().position(|row| row.contains(name)).unwrap();
        assert_eq!(row("model, held out") + 1, row("GD-1 0.2061 theory"), "{screen}");
    }
}

#[test]
fn at_every_width_the_attention_form_shows_whole_numbers() {
    let mut app = fixture::lab();
    app.lab.as_mut().unwrap().update(LabAction::Focus(Pane::AttentionForm));
    for (size, both) in [
        ((80, 24), "weights 0.431200, state 0.431200 "),
        ((100, 30), "weights 0.431200, state 0.431200 "),
        ((120, 36), "weights 0.431200, from the state 0.431200 "),
    ] {
        let screen = text(&render(&app, Depth::None, size));
        assert!(screen.contains(both), "{screen}");
        let caption = screen.lines().find(|row| row.contains("↑ ↓)")).unwrap().trim_end_matches(['┃', '│', ' ']);
        assert!(["↑ ↓)", "(token 21)", "A: form"].iter().any(|end| caption.ends_with(end)), "{caption}");
    }
}
