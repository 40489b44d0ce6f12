//! Every key of the keymap leads to its action, and every action changes something or asks for something.

mod fixture;

use std::path::PathBuf;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use innerloop::session::Summary;
use innerloop::train::{DeviceChoice, History, StepReport};
use innerloop::tui::app::{App, AxisUnit, Column, HelpPage, Intent, PACES, Tab};
use innerloop::tui::capabilities::{Background, Depth};
use innerloop::tui::effects::Effect;
use innerloop::tui::keymap::{self, BINDINGS, Binding, Key, Mode};
use innerloop::tui::message::{
    Action, EditorAction, EffectResult, GalleryAction, LabAction, Message, Move, ScreenFormat, SystemEvent,
};
use innerloop::tui::mouse;
use innerloop::tui::pane::Pane;
use innerloop::tui::theme::Theme;
use innerloop::tui::view;
use innerloop::worker::{Jump, Note, Opened, Order, Phase, Source, StateChoice, Status, Update};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

fn press(app: &mut App, key: impl Into<KeyEvent>) -> Vec<Effect> {
    keymap::action(app.mode(), &key.into()).map_or_else(Vec::new, |action| app.update(Message::Key(action)))
}

fn char(c: char) -> KeyEvent {
    KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)
}

fn type_text(app: &mut App, text: &str) -> Vec<Effect> {
    text.chars().flat_map(|c| press(app, char(c))).collect()
}

/// An app in which the keys of this mode are live.
fn app_in(mode: Mode) -> App {
    let mut app = match mode {
        Mode::Lessons => fixture::lessons::list(),
        Mode::Choice => fixture::lessons::question(),
        Mode::Lesson => fixture::lessons::lesson(),
        Mode::Reveal => fixture::lessons::answer(),
        Mode::Gallery | Mode::Search | Mode::Sessions | Mode::Rename | Mode::Delete => fixture::gallery(),
        Mode::Lab | Mode::Values | Mode::Editor | Mode::Typing | Mode::Help | Mode::Question => fixture::lab(),
        Mode::Sweep => fixture::sweep(),
    };
    match mode {
        Mode::Search => drop(app.update(Message::Key(Action::Gallery(GalleryAction::Search)))),
        Mode::Help => drop(app.update(Message::Key(Action::Help))),
        Mode::Question => drop(app.update(Message::Key(Action::Quit))),
        Mode::Values => drop(app.update(Message::Key(Action::Lab(LabAction::ToggleValues)))),
        Mode::Editor | Mode::Typing => drop(app.update(Message::Key(Action::OpenEditor))),
        Mode::Sessions => drop(type_text(&mut app, "l")),
        Mode::Rename => drop(type_text(&mut app, "lr")),
        Mode::Delete => drop(type_text(&mut app, "lx")),
        Mode::Lessons | Mode::Choice | Mode::Lesson | Mode::Reveal => {}
        Mode::Gallery | Mode::Lab | Mode::Sweep => {}
    }
    if mode == Mode::Typing {
        app.update(Message::Key(Action::Editor(EditorAction::Edit)));
    }
    assert_eq!(app.mode(), mode);
    app
}

/// The keys of a row that work in a mode: where text is typed, letters are text.
fn live(row: &'static Binding, mode: Mode) -> impl Iterator<Item = &'static Key> {
    row.keys.iter().filter(move |key| !mode.takes_text() || !matches!(key, Key::Char(_)))
}

#[test]
fn every_key_leads_to_the_action_of_its_row_and_to_no_other() {
    for mode in Mode::ALL {
        for row in keymap::bindings(mode) {
            for key in live(row, mode) {
                assert_eq!(keymap::action(mode, &key.event()).as_ref(), Some(&row.action), "{mode:?} {}", row.shown());
            }
        }
    }
}

/// A key by the name that is printed for it. Written independently of the keymap.
fn named(label: &str) -> KeyEvent {
    let code = match label {
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Tab" => KeyCode::Tab,
        "Shift-Tab" => KeyCode::BackTab,
        "Del" => KeyCode::Delete,
        "Backspace" => KeyCode::Backspace,
        "Space" => KeyCode::Char(' '),
        "Home" => KeyCode::Home,
        "End" => KeyCode::End,
        "PgUp" => KeyCode::PageUp,
        "PgDn" => KeyCode::PageDown,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "F1" => KeyCode::F(1),
        "F10" => KeyCode::F(10),
        control if control.starts_with("Ctrl-") => {
            let letter = control.chars().last().unwrap().to_ascii_lowercase();
            return KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL);
        }
        letter => KeyCode::Char(letter.parse().unwrap_or_else(|_| panic!("no key is called {letter}"))),
    };
    code.into()
}

#[test]
fn the_keys_that_are_shown_are_the_keys_that_work() {
    for mode in Mode::ALL {
        for row in keymap::bindings(mode) {
            let shown: Vec<_> = row.shown().split(' ').map(named).collect();
            assert_eq!(shown, row.keys.iter().map(|key| key.event()).collect::<Vec<_>>(), "{}", row.help);
        }
        for (keys, word) in keymap::hints(mode) {
            for key in keys.split(' ') {
                assert!(keymap::action(mode, &named(key)).is_some(), "{mode:?}: {key} {word}");
            }
        }
    }
}

#[test]
fn nothing_needs_esc_or_ctrl() {
    for mode in Mode::ALL.into_iter().filter(|mode| !mode.takes_text()) {
        let blocked = |key: &Key| matches!(key, Key::Ctrl(_) | Key::Code(KeyCode::Esc));
        for row in keymap::bindings(mode).filter(|row| row.keys.iter().all(blocked)) {
            // Leaving the program from a question is answering it first.
            let same =
                keymap::bindings(mode).any(|other| other.action == row.action && !other.keys.iter().all(blocked));
            assert!(
                same || matches!(mode, Mode::Question | Mode::Delete) && row.action == Action::Quit,
                "{mode:?}: {}",
                row.help
            );
        }
    }
    // In a search, Backspace erases to the empty search and then leaves it.
    let mut app = app_in(Mode::Search);
    type_text(&mut app, "a");
    press(&mut app, KeyCode::Backspace);
    assert_eq!(app.mode(), Mode::Search);
    press(&mut app, KeyCode::Backspace);
    assert_eq!(app.mode(), Mode::Gallery);
    // And in a name.
    let mut app = app_in(Mode::Rename);
    let letters = app.gallery.renaming.as_ref().map_or(0, |name| name.chars().count());
    (0..=letters).for_each(|_| drop(press(&mut app, KeyCode::Backspace)));
    assert_eq!(app.mode(), Mode::Sessions);
}

/// Apps in one of which each action of a mode has something to change: at the start, and after some keys.
fn states(mode: Mode) -> impl Iterator<Item = App> {
    let prepared = move |keys: Vec<KeyEvent>| {
        let mut app = app_in(mode);
        keys.into_iter().for_each(|key| drop(press(&mut app, key)));
        app
    };
    let keys = [
        vec![],
        vec![char('m')],
        vec![KeyCode::Home.into()],
        vec![KeyCode::Right.into()],
        vec![KeyCode::Left.into(), KeyCode::Down.into()],
        vec![char('/'), char('g'), KeyCode::Enter.into()],
        vec![char('J')],
        vec![char('+'), KeyCode::Left.into()],
        vec![KeyCode::Enter.into(), char('5'), KeyCode::Enter.into()],
    ];
    keys.into_iter().map(prepared)
}

#[test]
fn every_action_changes_the_screen_or_asks_for_an_effect() {
    // Large enough for four panes, and small enough that there is something to scroll.
    let screen = |app: &App| {
        [Rect::new(0, 0, 160, 40), Rect::new(0, 0, 80, 16)].map(|area| {
            let mut buffer = Buffer::empty(area);
            view::render(app, Theme::new(Depth::True, Background::Dark), area, &mut buffer);
            buffer
        })
    };
    for mode in Mode::ALL {
        for row in keymap::bindings(mode) {
            let changes = |mut app: App| {
                let before = screen(&app);
                let effects = app.update(Message::Key(row.action.clone()));
                !effects.is_empty() || screen(&app) != before
            };
            assert!(states(mode).any(changes), "{mode:?}: {} does nothing", row.help);
        }
    }
}

#[test]
fn a_footer_has_seven_hints_at_most_and_always_a_way_on() {
    for mode in Mode::ALL {
        assert!(keymap::hints(mode).count() <= 7, "{mode:?}");
    }
    for mode in [Mode::Gallery, Mode::Sessions, Mode::Lab, Mode::Sweep] {
        assert!(keymap::hints(mode).any(|(key, _)| key == "?"), "{mode:?}");
    }
}

#[test]
fn the_table_for_the_readme_has_every_row() {
    let table = keymap::markdown_table();
    assert_eq!(table.lines().count(), BINDINGS.len() + 2);
    assert!(table.contains("| `Space` | pause, and continue | lab, lesson, value cursor |"), "{table}");
}

#[test]
fn keys_work_by_their_position_on_layouts_without_latin_letters() {
    for mode in [Mode::Gallery, Mode::Lab, Mode::Help] {
        for typed in ['й', 'ض', 'ㅂ', 'ｑ'] {
            assert_eq!(keymap::action(mode, &char(typed)), Some(Action::Quit), "{typed}");
        }
    }
    let save = Some(Action::Lab(LabAction::Save));
    for typed in ['ы', 'σ', 'ד', 'س', 'ㄴ'] {
        assert_eq!(keymap::action(Mode::Lab, &char(typed)), save, "{typed}");
    }
    let control = KeyEvent::new(KeyCode::Char('с'), KeyModifiers::CONTROL);
    assert_eq!(keymap::action(Mode::Lab, &control), Some(Action::Quit));
    // In a search they are text.
    let mut app = app_in(Mode::Search);
    type_text(&mut app, "йй");
    assert_eq!(app.gallery.search, "йй");
}

#[test]
fn a_released_key_does_nothing() {
    let release = KeyEvent { kind: KeyEventKind::Release, ..char('q') };
    assert!(keymap::action(Mode::Lab, &release).is_none());
}

#[test]
fn enter_is_enough() {
    let mut app = fixture::gallery();
    let effects = press(&mut app, KeyCode::Enter);
    assert!(
        matches!(&effects[..], [Effect::Start(Source::Preset(name, _), DeviceChoice::Auto)] if name == "gd-ssm"),
        "{effects:?}"
    );
}

#[test]
fn lists_are_walked_and_an_unreadable_file_says_why_instead_of_opening() {
    let mut app = fixture::gallery();
    type_text(&mut app, "j");
    assert_eq!(app.gallery.selected_preset().unwrap().name, "linear-attention");
    type_text(&mut app, "kG");
    assert_eq!(app.gallery.selected_preset().unwrap().name, "broken");
    assert_eq!(press(&mut app, KeyCode::Enter), []);
    assert!(app.notice.as_deref().is_some_and(|notice| notice.contains("did you mean")));
    type_text(&mut app, "g");
    assert_eq!((app.gallery.selected(), &app.notice), (0, &None));
    type_text(&mut app, "l");
    assert_eq!(app.gallery.tab, Tab::Sessions);
    assert_eq!(
        press(&mut app, KeyCode::Enter),
        [Effect::OpenSession(PathBuf::from("saves/gd-ssm-seed3.ron"), DeviceChoice::Auto)]
    );
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.gallery.tab, Tab::Lessons);
    press(&mut app, KeyCode::BackTab);
    press(&mut app, KeyCode::BackTab);
    assert_eq!(app.gallery.tab, Tab::Presets);
    type_text(&mut app, "d");
    assert_eq!(app.gallery.device, DeviceChoice::Cpu);
}

#[test]
fn long_details_are_scrolled_and_those_of_another_preset_begin_at_their_start() {
    let mut app = fixture::gallery();
    press(&mut app, KeyCode::PageDown);
    assert!(app.gallery.details_scroll > 0);
    type_text(&mut app, "K");
    assert_eq!(app.gallery.details_scroll, 0);
    type_text(&mut app, "Jj");
    assert_eq!((app.gallery.selected(), app.gallery.details_scroll), (1, 0));
    type_text(&mut app, "?J");
    assert!(app.help.is_some_and(|scrolled| scrolled > 1));
    press(&mut app, KeyCode::PageUp);
    assert_eq!(app.help, Some(0));
}

#[test]
fn a_search_takes_letters_that_are_keys_elsewhere() {
    let mut app = fixture::gallery();
    type_text(&mut app, "/qatt?");
    assert_eq!(app.gallery.search, "qatt?");
    (0..5).for_each(|_| drop(press(&mut app, KeyCode::Backspace)));
    type_text(&mut app, "att");
    press(&mut app, KeyCode::Enter);
    assert_eq!(app.mode(), Mode::Gallery);
    assert_eq!(app.gallery.selected_preset().unwrap().name, "linear-attention");
    press(&mut app, KeyCode::Esc);
    assert_eq!((app.gallery.search.as_str(), app.gallery.presets().len()), ("", 3));
}

/// The names of the listed sessions' files.
fn listed(app: &App) -> Vec<String> {
    app.gallery.sessions().iter().map(|row| row.stem()).collect()
}

#[test]
fn sessions_are_sorted_filtered_and_what_is_selected_stays_selected() {
    let mut app = app_in(Mode::Sessions);
    assert_eq!(listed(&app), ["gd-ssm-seed3", "attention", "old"]);
    type_text(&mut app, "j");
    let selected = |app: &App| app.gallery.selected_session().unwrap().stem();
    // By file, title, seed, change, step, loss, nearest: what cannot be read comes last in either direction.
    let orders = ["attention gd-ssm-seed3 old", "gd-ssm-seed3 attention old", "attention gd-ssm-seed3 old"];
    for order in orders.iter().map(|order| order.split(' ').collect::<Vec<_>>()) {
        type_text(&mut app, "o");
        assert_eq!(
            (listed(&app), selected(&app)),
            (order.iter().map(|s| s.to_string()).collect(), "attention".to_owned())
        );
    }
    type_text(&mut app, "O");
    assert_eq!(listed(&app), ["gd-ssm-seed3", "attention", "old"]);
    type_text(&mut app, "ooo");
    assert_eq!((app.gallery.sessions.column, listed(&app)[0].as_str()), (Column::Loss, "gd-ssm-seed3"));
    for (search, found) in [("seed 3", 1), ("noise=0.1", 1), ("zero", 1), ("ssm", 1), ("saves", 3), ("nothing", 0)] {
        type_text(&mut app, "/");
        type_text(&mut app, search);
        assert_eq!(listed(&app).len(), found, "{search}");
        press(&mut app, KeyCode::Esc);
    }
}

#[test]
fn marked_sessions_are_opened_beside_the_selected_one() {
    let mut app = app_in(Mode::Sessions);
    let path = |name: &str| PathBuf::from("saves").join(name);
    let open = |name: &str| Effect::OpenSession(path(name), DeviceChoice::Auto);
    type_text(&mut app, "mjm");
    let effects = press(&mut app, KeyCode::Enter);
    assert_eq!(effects, [open("attention.ron"), Effect::ReadKept(vec![path("gd-ssm-seed3.ron")])]);
    // A mark is taken away by the same key, all marks by another.
    type_text(&mut app, "k");
    assert_eq!(app.gallery.sessions.marked().len(), 2);
    type_text(&mut app, "mjM");
    assert_eq!(press(&mut app, KeyCode::Enter), [open("attention.ron")]);
    // What cannot be read cannot be marked.
    type_text(&mut app, "Gm");
    assert!(app.notice.as_deref().is_some_and(|notice| notice.contains("schema 9")), "{:?}", app.notice);
    assert!(app.gallery.sessions.marked().is_empty());
    // What was read stands beside the run, and another task is refused.
    app.update(Message::Result(EffectResult::Started { title: "GD-SSM".to_owned() }));
    let mut lab = fixture::compared(2).lab.unwrap();
    let other = innerloop::preset::set(&lab.kept[1].preset, [("task.dim", "4")]).unwrap();
    lab.kept[1].preset = other.into();
    app.update(Message::Result(EffectResult::KeptRead(lab.kept.into_iter().map(Ok).collect())));
    assert_eq!(app.lab.as_ref().unwrap().kept.len(), 1);
    assert!(app.notice.as_deref().is_some_and(|notice| notice.contains("task.dim=4")), "{:?}", app.notice);
}

#[test]
fn sessions_of_different_tasks_are_not_opened_together() {
    let mut app = app_in(Mode::Sessions);
    let rows = app.gallery.sessions().iter().map(|row| (row.summary.clone(), row.age)).collect::<Vec<_>>();
    let mut rows: Vec<(Summary, u64)> = rows;
    if let Ok(content) = &mut rows[1].0.content {
        content.preset = innerloop::preset::set(&content.preset, [("task.context", "5")]).unwrap().into();
    }
    app.update(Message::Result(EffectResult::SessionsListed { rows, complete: true }));
    type_text(&mut app, "mj");
    assert_eq!(press(&mut app, KeyCode::Enter), []);
    let notice = app.notice.as_deref().unwrap();
    assert!(
        notice.contains("attention (task.context=5) and gd-ssm-seed3 (task.context=10) have different tasks"),
        "{notice}"
    );
}

#[test]
fn a_session_is_renamed_and_deleted_only_after_a_question() {
    let mut app = app_in(Mode::Rename);
    assert_eq!(app.gallery.renaming.as_deref(), Some("gd-ssm-seed3"));
    press(&mut app, KeyCode::Backspace);
    type_text(&mut app, "q?");
    let path = PathBuf::from("saves/gd-ssm-seed3.ron");
    assert_eq!(press(&mut app, KeyCode::Enter), [Effect::Rename(path.clone(), "gd-ssm-seedq?".to_owned())]);
    let renamed = PathBuf::from("saves/attention.ron");
    let effects = app.update(Message::Result(EffectResult::Renamed(Ok(renamed.clone()))));
    assert_eq!(effects, [Effect::ListSessions]);
    // The new name is selected once it is listed.
    let rows = app.gallery.sessions().iter().map(|row| (row.summary.clone(), row.age)).collect();
    app.update(Message::Result(EffectResult::SessionsListed { rows, complete: true }));
    assert_eq!(app.gallery.selected_session().unwrap().summary.path, renamed);
    let taken = EffectResult::Renamed(Err("saves/a.ron exists already".to_owned()));
    assert_eq!(
        (app.update(Message::Result(taken)), app.notice.as_deref()),
        (vec![], Some("saves/a.ron exists already"))
    );

    for key in ["n", "c"] {
        type_text(&mut app, "x");
        assert_eq!((app.mode(), type_text(&mut app, key), app.mode()), (Mode::Delete, vec![], Mode::Sessions));
    }
    // Enter does not delete.
    press(&mut app, KeyCode::Delete);
    assert_eq!((press(&mut app, KeyCode::Enter), app.mode()), (vec![], Mode::Delete));
    assert_eq!(type_text(&mut app, "y"), [Effect::Delete(renamed.clone())]);
    app.update(Message::Result(EffectResult::Deleted(Ok(renamed))));
    assert_eq!(listed(&app), ["gd-ssm-seed3", "old"]);
}

#[test]
fn control_of_a_run() {
    let mut app = fixture::lab();
    let order = |effects: Vec<Effect>| match effects.as_slice() {
        [Effect::Order(order)] => order.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(order(type_text(&mut app, " ")), Order::Pause);
    assert_eq!(app.lab.as_ref().unwrap().status.as_ref().unwrap().phase, Phase::Paused);
    assert_eq!(order(type_text(&mut app, " ")), Order::Resume);
    assert_eq!(order(type_text(&mut app, ".")), Order::Step);
    assert_eq!(order(type_text(&mut app, "-")), Order::ScaleLr(0.5));
    assert_eq!(order(type_text(&mut app, "+")), Order::ScaleLr(2.0));
    assert_eq!(type_text(&mut app, "s"), [Effect::Save]);
}

#[test]
fn a_run_that_is_still_opening_says_so_instead_of_saving() {
    let mut app = fixture::gallery();
    app.update(Message::Result(EffectResult::Started { title: "a run".to_owned() }));
    assert_eq!(type_text(&mut app, "s"), []);
    assert!(app.notice.as_deref().is_some_and(|notice| notice.contains("Still opening")), "{:?}", app.notice);
}

#[test]
fn o_measures_on_other_tasks_and_shows_the_results() {
    let mut app = fixture::lab();
    app.update(Message::Worker(Box::new(Update { shifts: fixture::shifts(), ..Update::default() })));
    assert_eq!(type_text(&mut app, "o"), [Effect::Order(Order::Shift)]);
    let lab = app.lab.as_ref().unwrap();
    assert_eq!((lab.focus, lab.companion, lab.lower.1, lab.shifts.len()), (Pane::Shift, Pane::Shift, Pane::Shift, 0));
    assert_eq!(fixture::empty_lab().update(Message::Key(Action::Lab(LabAction::MeasureShifts))), []);
}

#[test]
fn kept_runs_stay_beside_what_follows_until_they_are_dropped() {
    let mut app = fixture::lab();
    let kept = |app: &App| app.lab.as_ref().map_or(app.kept.len(), |lab| lab.kept.len());
    type_text(&mut app, "m");
    assert!(app.notice.as_deref().is_some_and(|notice| notice.starts_with("Kept as 1")), "{:?}", app.notice);
    // Another run of the same task, and the gallery in between.
    type_text(&mut app, "bn");
    assert_eq!((app.mode(), kept(&app)), (Mode::Gallery, 1));
    app.update(Message::Result(EffectResult::Started { title: "S4D".to_owned() }));
    assert_eq!(type_text(&mut app, "m"), []);
    assert!(app.notice.as_deref().is_some_and(|notice| notice.contains("no curves to keep yet")), "{:?}", app.notice);
    let mut opened = fixture::opened();
    opened.seed = 7;
    let history = app.lab.as_ref().unwrap().kept[0].history.clone();
    let update = |opened| Update { opened: Some(opened), history: Some(history.clone()), ..Update::default() };
    app.update(Message::Worker(Box::new(update(opened.clone()))));
    let (runs, own) = app.lab.as_ref().unwrap().overlaid();
    assert_eq!((runs[0].name.as_str(), own.as_str()), ("seed 0", "seed 7"));
    let seeds: Vec<u64> = app.lab.as_ref().unwrap().rows().iter().map(|(_, row)| row.seed).collect();
    assert_eq!(seeds, [0, 7]);
    (0..6).for_each(|_| drop(type_text(&mut app, "m")));
    assert_eq!((kept(&app), app.notice.as_deref()), (6, Some("6 runs are kept already: M drops them.")));
    // A run of another task is not beside them, and says why.
    let preset = innerloop::preset::set(&opened.preset, [("task.dim", "4")]).unwrap();
    app.update(Message::Worker(Box::new(update(Opened { preset: preset.into(), ..opened }))));
    assert!(app.notice.as_deref().is_some_and(|notice| notice.contains("task.dim=4")), "{:?}", app.notice);
    let lab = app.lab.as_ref().unwrap();
    assert_eq!((lab.overlaid().0.len(), lab.rows().len(), kept(&app)), (0, 1, 6));
    type_text(&mut app, "m");
    assert!(app.notice.as_deref().is_some_and(|notice| notice.contains("cannot be compared")), "{:?}", app.notice);
    type_text(&mut app, "M");
    assert_eq!((kept(&app), app.notice.as_deref()), (0, Some("Dropped 6 kept runs.")));
    type_text(&mut app, "t");
    assert_eq!(app.lab.as_ref().unwrap().focus, Pane::Runs);
}

#[test]
fn of_several_runs_one_is_in_the_panes_and_all_are_saved() {
    let mut app = fixture::several();
    let lab = |app: &App| app.lab.as_ref().map(|lab| (lab.run, lab.opened.as_ref().unwrap().name.clone())).unwrap();
    assert_eq!(lab(&app), (1, "s4d".to_owned()));
    press(&mut app, KeyCode::Tab);
    assert_eq!(type_text(&mut app, "u"), [Effect::Order(Order::Focus(2))]);
    assert_eq!((lab(&app), app.lab.as_ref().unwrap().focus), ((2, "mamba".to_owned()), Pane::State));
    assert_eq!(type_text(&mut app, "uu"), [Effect::Order(Order::Focus(0)), Effect::Order(Order::Focus(1))]);
    // The curves of the others keep their numbers.
    let (runs, own) = app.lab.as_ref().unwrap().overlaid();
    let named: Vec<_> = runs.iter().map(|run| (run.number, run.name.as_str())).collect();
    assert_eq!((named, own.as_str()), (vec![(0, "gd-ssm"), (2, "mamba")], "s4d"));
    assert_eq!(app.lab.as_ref().unwrap().rows().len(), 3);
    // An update is of its run, whichever is in the panes.
    let finished = Status { saved_step: None, ..fixture::status(Phase::Finished) };
    app.update(Message::Worker(Box::new(Update { run: 2, status: Some(finished), ..Update::default() })));
    assert_eq!(app.lab.as_ref().unwrap().status.as_ref().unwrap().phase, Phase::Running);
    // A kept run comes after those that train.
    type_text(&mut app, "m");
    assert!(app.notice.as_deref().is_some_and(|notice| notice.starts_with("Kept as 4")), "{:?}", app.notice);
    // Leaving waits until all are saved.
    type_text(&mut app, "b");
    assert_eq!(type_text(&mut app, "y"), [Effect::Order(Order::Pause), Effect::Save]);
    for run in 0..3 {
        let status = fixture::status(Phase::Paused);
        let status = Status { saved_step: Some(status.step), ..status };
        let notes = vec![Note::Saved(PathBuf::from(format!("saves/{run}.ron")))];
        let update = Update { run, status: Some(status), notes, ..Update::default() };
        let effects = app.update(Message::Worker(Box::new(update)));
        assert_eq!(effects.is_empty(), run < 2, "{run}");
    }
    assert_eq!(app.mode(), Mode::Gallery);
}

#[test]
fn a_sweep_shows_any_measure_against_a_varied_field_and_reads_its_folder_again() {
    let mut app = fixture::sweep();
    let shown = |app: &App| {
        let screen = app.sweep.as_ref().unwrap();
        (screen.measures[screen.measure].clone(), screen.bands.len(), screen.log_axis)
    };
    assert_eq!(shown(&app), ("eval_loss".to_owned(), 3, true));
    type_text(&mut app, "na");
    assert_eq!(shown(&app), ("loss / gd-1".to_owned(), 3, false));
    let (values, lines) = app.sweep.as_ref().unwrap().dependence();
    assert_eq!(values, ["5", "10", "20"]);
    assert_eq!(lines[0].points.iter().map(|point| point.unwrap().n).collect::<Vec<_>>(), [3, 3, 2]);
    type_text(&mut app, "ppn");
    assert_eq!(shown(&app).0, "eval_loss");
    // What is chosen stays when the folder is read again.
    type_text(&mut app, "n");
    assert_eq!(type_text(&mut app, "r"), [Effect::ReadSweep(PathBuf::from("context"))]);
    let ended = app.sweep.as_ref().unwrap().ended.clone();
    app.update(Message::Result(EffectResult::SweepRead(Ok(Box::new(ended)))));
    assert_eq!(shown(&app), ("loss / gd-1".to_owned(), 3, false));
    let gone = EffectResult::SweepRead(Err("context holds no sweep".to_owned()));
    app.update(Message::Result(gone));
    assert_eq!((app.mode(), app.notice.as_deref()), (Mode::Sweep, Some("context holds no sweep")));
    assert_eq!((type_text(&mut app, "b"), app.mode()), (vec![Effect::ListSessions], Mode::Gallery));
}

#[test]
fn the_ladder_of_paces_has_ends() {
    let mut app = fixture::lab();
    let pace = |effects: Vec<Effect>| match effects.as_slice() {
        [Effect::Order(Order::Pace(pace))] => *pace,
        other => panic!("{other:?}"),
    };
    assert_eq!(pace(type_text(&mut app, "]")), None);
    for expected in PACES.into_iter().rev().chain([1.0, 1.0]) {
        assert_eq!(pace(type_text(&mut app, "[")), Some(expected));
    }
    assert_eq!(pace(type_text(&mut app, "]")), Some(2.0));
}

#[test]
fn looking_around_changes_only_the_view() {
    let mut app = fixture::lab();
    let focus = |app: &App| app.lab.as_ref().unwrap().focus;
    assert_eq!(press(&mut app, KeyCode::Tab), []);
    assert_eq!(focus(&app), Pane::State);
    press(&mut app, KeyCode::BackTab);
    press(&mut app, KeyCode::BackTab);
    assert_eq!(focus(&app), Pane::Claims);
    assert_eq!(app.lab.as_ref().unwrap().companion, Pane::Claims);
    assert_eq!(app.lab.as_ref().unwrap().lower, (Pane::Distance, Pane::Claims));
    (0..7).for_each(|_| drop(press(&mut app, KeyCode::BackTab)));
    assert_eq!(app.lab.as_ref().unwrap().lower, (Pane::Runs, Pane::Predictions));
    assert_eq!(type_text(&mut app, "az"), []);
    let lab = app.lab.as_ref().unwrap();
    assert!(lab.zoom && !lab.log_axis);
}

#[test]
fn tokens_are_played_up_to_the_last_and_a_move_stops_them() {
    let mut app = fixture::lab();
    let token = |app: &App| app.lab.as_ref().unwrap().cursor.time_step;
    let due = Message::System(SystemEvent::TokenDue);
    let plays = |effects: &[Effect]| matches!(effects, [Effect::StartTimer(_, SystemEvent::TokenDue)]);
    let first = type_text(&mut app, "P");
    assert!(first.iter().any(|effect| plays(std::slice::from_ref(effect))), "{first:?}");
    assert_eq!((token(&app), app.lab.as_ref().unwrap().focus), (Some(0), Pane::Stepper));
    (1..10).for_each(|index| {
        assert!(plays(&app.update(due.clone())));
        assert_eq!(token(&app), Some(index));
    });
    // The last one is where the cursor rests.
    assert_eq!((app.update(due.clone()), token(&app)), (vec![], None));
    type_text(&mut app, "P");
    press(&mut app, KeyCode::Right);
    assert_eq!((app.update(due), token(&app)), (vec![], Some(1)));
}

#[test]
fn every_pane_is_a_tab_away() {
    let mut app = fixture::lab();
    let mut seen = vec![];
    for _ in Pane::ALL {
        seen.push(app.lab.as_ref().unwrap().focus);
        press(&mut app, KeyCode::Tab);
    }
    assert_eq!(seen, Pane::ALL);
}

#[test]
fn at_the_end_the_claims_come_to_the_front_unless_the_focus_is_there() {
    let shown = |app: &App| app.lab.as_ref().map(|lab| (lab.companion, lab.lower.1)).unwrap();
    assert_eq!(shown(&fixture::finished()), (Pane::Claims, Pane::Claims));
    let end = |app: &mut App| {
        let status = Status { step: fixture::STEPS, ..fixture::status(Phase::Finished) };
        let (status, checked) = (Some(status), Some(fixture::outcome()));
        app.update(Message::Worker(Box::new(Update { status, checked, ..Update::default() })))
    };
    let mut app = fixture::lab();
    app.lab.as_mut().unwrap().focus = Pane::Predictions;
    end(&mut app);
    assert_eq!(shown(&app), (Pane::State, Pane::Predictions));
}

#[test]
fn only_an_unmodified_run_is_recorded() {
    let checked = || Box::new(Update { checked: Some(fixture::outcome()), ..Update::default() });
    let mut turned = fixture::lab();
    assert!(!turned.lab.as_ref().unwrap().history.lr_changes.is_empty());
    assert_eq!(turned.update(Message::Worker(checked())), []);
    let mut app = fixture::lab();
    app.lab.as_mut().unwrap().history.lr_changes.clear();
    let effects = app.update(Message::Worker(checked()));
    assert!(matches!(&effects[..], [Effect::RecordResult(name, ..)] if name == "gd-ssm"), "{effects:?}");
    let mut other_seed = fixture::opened();
    other_seed.seed = 9;
    let update = Update { opened: Some(other_seed), checked: Some(fixture::outcome()), ..Update::default() };
    assert_eq!(app.update(Message::Worker(Box::new(update))), []);
}

#[test]
fn arrows_scrub_tokens_and_layers_and_n_turns_the_probe() {
    let mut app = fixture::lab();
    let place = |app: &App| app.lab.as_ref().unwrap().time_step().unwrap().0;
    assert_eq!(place(&app), 10);
    press(&mut app, KeyCode::Left);
    assert_eq!(place(&app), 9);
    type_text(&mut app, "ll");
    assert_eq!((place(&app), app.lab.as_ref().unwrap().cursor.time_step), (10, None));
    type_text(&mut app, "g");
    assert_eq!(place(&app), 0);
    type_text(&mut app, "hG");
    assert_eq!(place(&app), 10);
    type_text(&mut app, "jj");
    assert_eq!(app.lab.as_ref().unwrap().layer().unwrap().0, 1);
    press(&mut app, KeyCode::Up);
    assert_eq!(app.lab.as_ref().unwrap().layer().unwrap().0, 0);
    type_text(&mut app, "n");
    assert_eq!(app.lab.as_ref().unwrap().cursor.probe, 1);
    type_text(&mut app, "nnp");
    assert_eq!(app.lab.as_ref().unwrap().cursor.probe, 0);
}

/// An update that puts the run of [`fixture::lab`] back at a step, with other curves than before.
fn rewound(step: u64, jump: Jump) -> Message {
    let mut history = History::default();
    history.record_step(&StepReport { step, loss: 0.5, lr: 0.01 });
    history.record_measurement(&fixture::measurement(step));
    let status = Status { step, ..fixture::status(Phase::Paused) };
    let (opened, jump) = (Some(fixture::opened()), Some(jump));
    Message::Worker(Box::new(Update {
        opened,
        jump,
        history: Some(history),
        status: Some(status),
        ..Update::default()
    }))
}

#[test]
fn a_run_goes_back_and_another_way_from_there_leaves_the_earlier_curve_on_the_screen() {
    let go_to = |choice| Effect::Order(Order::GoTo(choice));
    let mut app = fixture::lab();
    assert_eq!(type_text(&mut app, "<>"), [go_to(StateChoice::Before), go_to(StateChoice::After)]);
    type_text(&mut app, "ch");
    assert_eq!(press(&mut app, KeyCode::Enter), [go_to(StateChoice::Nearest(3_350))]);
    assert_eq!(app.mode(), Mode::Lab);
    app.update(rewound(1_000, Jump::Rewound));
    let lab = |app: &App| app.lab.as_ref().map(|lab| (lab.is_rewound(), lab.kept.len())).unwrap();
    assert_eq!((lab(&app), app.lab.as_ref().unwrap().progress().0), ((true, 0), 1_000));
    assert!(app.notice.as_ref().unwrap().starts_with("Step 1,000 of "), "{:?}", app.notice);
    // Leaving would lose what followed, wherever the run is now.
    type_text(&mut app, "q");
    assert_eq!(app.mode(), Mode::Question);
    type_text(&mut app, "c");
    // Another state of the same way: the latest stays the end of it.
    app.update(rewound(500, Jump::Rewound));
    let status = Status { step: fixture::STEP, ..fixture::status(Phase::Running) };
    let mut repeated = fixture::lab();
    repeated.update(rewound(500, Jump::Rewound));
    repeated.update(Message::Worker(Box::new(Update { status: Some(status), ..Update::default() })));
    assert_eq!(lab(&repeated), (false, 0), "the run has come that far again");
    assert_eq!(type_text(&mut app, "-"), [Effect::Order(Order::ScaleLr(0.5))]);
    assert_eq!(lab(&app), (false, 1));
    let kept = app.lab.as_ref().unwrap().kept[0].history.train_loss.last().unwrap().0;
    assert_eq!(kept, fixture::STEP);
    // With no place for the earlier curve, the run stays where it is.
    app.update(rewound(400, Jump::Rewound));
    let lab_now = app.lab.as_mut().unwrap();
    lab_now.kept = vec![lab_now.kept[0].clone(); 6];
    assert_eq!(type_text(&mut app, "-"), []);
    assert!(app.notice.as_ref().unwrap().contains("M drops them"), "{:?}", app.notice);
}

#[test]
fn a_fork_goes_on_with_the_editors_fields() {
    let mut app = fixture::lab();
    type_text(&mut app, "ef");
    assert!(app.editor.is_some() && app.notice.as_ref().unwrap().starts_with("Nothing is changed"));
    let position = |app: &App| app.editor.as_ref().unwrap().fields.iter().position(|field| field.key == "train.seed");
    app.editor.as_mut().unwrap().selected = position(&app).unwrap();
    press(&mut app, KeyCode::Enter);
    type_text(&mut app, "7");
    press(&mut app, KeyCode::Enter);
    let effects = type_text(&mut app, "f");
    let [Effect::Order(Order::Fork(preset))] = &effects[..] else { panic!("{effects:?}") };
    assert!(preset.train.seed.to_string().ends_with('7') && app.editor.is_none());
    app.update(rewound(fixture::STEP, Jump::Forked));
    let lab = app.lab.as_ref().unwrap();
    assert_eq!((lab.kept.len(), lab.is_rewound()), (1, false));
    assert!(app.notice.as_ref().unwrap().contains("The earlier curve is kept as 1"), "{:?}", app.notice);
}

#[test]
fn a_value_cursor_reads_the_curves_and_zooms_into_their_steps() {
    let mut app = fixture::lab();
    let cursor = |app: &App| app.lab.as_ref().unwrap().steps.cursor;
    type_text(&mut app, "c");
    assert_eq!((app.mode(), cursor(&app)), (Mode::Values, Some(fixture::STEP)));
    press(&mut app, KeyCode::Left);
    assert_eq!(cursor(&app), Some(3_350));
    press(&mut app, KeyCode::Home);
    assert_eq!(cursor(&app), Some(0));
    press(&mut app, KeyCode::End);
    let whole = app.lab.as_ref().unwrap().steps_scale();
    type_text(&mut app, "++");
    let (low, high) = app.lab.as_ref().unwrap().steps_scale().ends();
    assert!(high - low <= 1_501.0 && (low..=high).contains(&(fixture::STEP as f64)), "{low} {high}");
    type_text(&mut app, "0");
    assert_eq!(app.lab.as_ref().unwrap().steps_scale(), whole);
    // The axis of steps becomes one of seconds, of operations, and of steps again; the cursor stays.
    let unit = |app: &App| app.lab.as_ref().unwrap().steps.unit;
    for expected in [AxisUnit::Seconds, AxisUnit::Operations, AxisUnit::Steps] {
        type_text(&mut app, "X");
        assert_eq!((unit(&app), cursor(&app)), (expected, Some(fixture::STEP)));
    }
    // The keys of the lab keep their meaning where the cursor has no use for them.
    assert_eq!(type_text(&mut app, " "), [Effect::Order(Order::Pause)]);
    press(&mut app, KeyCode::Esc);
    assert_eq!((app.mode(), cursor(&app)), (Mode::Lab, None));
}

/// Sets a field in the editor that is open.
fn set_field(app: &mut App, key: &str, value: &str) {
    press(app, KeyCode::Home);
    while app.editor.as_ref().unwrap().selected_field().unwrap().key != key {
        press(app, KeyCode::Down);
    }
    press(app, KeyCode::Enter);
    while app.editor.as_ref().unwrap().typed.as_deref() != Some("") {
        press(app, KeyCode::Backspace);
    }
    type_text(app, value);
    press(app, KeyCode::Enter);
}

#[test]
fn an_experiment_is_changed_on_the_screen_and_starts_again() {
    let mut app = fixture::lab();
    type_text(&mut app, "e");
    assert_eq!(type_text(&mut app, "r"), [], "nothing is changed yet");
    assert!(app.notice.is_some());
    set_field(&mut app, "task.context", "0");
    assert_eq!(app.mode(), Mode::Typing, "what was refused can be corrected");
    assert!(app.editor.as_ref().unwrap().error.as_ref().unwrap().contains("from 1 to"));
    press(&mut app, KeyCode::Esc);
    set_field(&mut app, "task.context", "20");
    // The run has unsaved steps.
    assert_eq!((type_text(&mut app, "r"), app.mode()), (vec![], Mode::Question));
    type_text(&mut app, "c");
    assert_eq!(app.mode(), Mode::Editor);
    type_text(&mut app, "r");
    let effects = type_text(&mut app, "n");
    let [Effect::Start(Source::Preset(name, changed), DeviceChoice::Auto)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((name.as_str(), changed.task.shape().context), ("gd-ssm", 20));
    // The new run says what was changed, and is looked at through the same panes.
    app.lab.as_mut().unwrap().zoom = true;
    app.update(Message::Result(EffectResult::Started { title: "GD-SSM".to_owned() }));
    let opened = Opened { preset: changed.clone().into(), ..fixture::opened() };
    app.update(Message::Worker(Box::new(Update { opened: Some(opened), ..Update::default() })));
    let lab = app.lab.as_ref().unwrap();
    assert!(lab.zoom);
    assert_eq!(lab.overrides, Some(vec!["task.context=20".to_owned()]));
    let area = Rect::new(0, 0, 80, 24);
    let mut buffer = Buffer::empty(area);
    view::render(&app, Theme::new(Depth::True, Background::Dark), area, &mut buffer);
    let shown: String = buffer.content.iter().map(|cell| cell.symbol()).collect();
    assert!(shown.contains("changed: context 20"), "{shown}");
}

#[test]
fn in_the_gallery_a_preset_is_changed_before_it_starts() {
    let mut app = fixture::gallery();
    type_text(&mut app, "e");
    set_field(&mut app, "train.lr", "0.5");
    let effects = type_text(&mut app, "r");
    assert!(
        matches!(&effects[..], [Effect::Start(Source::Preset(_, changed), _)] if changed.train.lr == 0.5),
        "{effects:?}"
    );
    assert_eq!(app.mode(), Mode::Gallery);
    type_text(&mut app, "Ge");
    assert!(app.notice.as_deref().is_some_and(|notice| notice.contains("did you mean")), "{:?}", app.notice);
    type_text(&mut app, "le");
    assert!(app.editor.is_none(), "a session continues as it began");
}

#[test]
fn i_explains_the_pane_in_focus_and_help_has_pages() {
    let mut app = fixture::lab();
    press(&mut app, KeyCode::Tab);
    type_text(&mut app, "i");
    assert_eq!((app.mode(), app.help_page), (Mode::Help, HelpPage::Pane));
    let pages: Vec<HelpPage> = (0..4).map(|_| (app.help_page, press(&mut app, KeyCode::Tab)).0).collect();
    assert_eq!(pages, [HelpPage::Pane, HelpPage::Preset, HelpPage::Words, HelpPage::Keys]);
    press(&mut app, KeyCode::BackTab);
    assert_eq!(app.help_page, HelpPage::Keys);
    press(&mut app, KeyCode::Esc);
    assert_eq!(app.mode(), Mode::Lab);
    // In the gallery there is no pane: the words are explained.
    let mut gallery = fixture::gallery();
    type_text(&mut gallery, "i");
    assert_eq!((gallery.help_page, gallery.help_pages().len()), (HelpPage::Words, 2));
}

#[test]
fn the_screen_goes_to_a_file_that_is_named_after_the_run() {
    let mut app = fixture::lab();
    let file = |name: &str, format| Effect::WriteScreen { name: name.to_owned(), format };
    assert_eq!(type_text(&mut app, "w"), [file("gd-ssm-seed0-step3412", ScreenFormat::Svg)]);
    assert_eq!(type_text(&mut fixture::gallery(), "W"), [file("gallery", ScreenFormat::Text)]);
    app.update(Message::Result(EffectResult::ScreenWritten(Ok(PathBuf::from("saves/x.svg")))));
    assert_eq!(app.notice.as_deref(), Some("this screen is in saves/x.svg"));
    app.update(Message::Result(EffectResult::ScreenWritten(Err("saves: disk full".to_owned()))));
    assert_eq!(app.notice.as_deref(), Some("the screen was not written: saves: disk full"));
}

#[test]
fn the_mouse_focuses_panes_and_its_wheel_moves() {
    let area = Rect::new(0, 0, 160, 48);
    let event = |kind, column, row| MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
    let (left, wheel) = (MouseEventKind::Down(MouseButton::Left), MouseEventKind::ScrollDown);
    let mut lab = fixture::lab();
    let focus = |pane| Some(Action::Lab(LabAction::Focus(pane)));
    assert_eq!(mouse::action(&lab, &event(left, 5, 10), area), focus(Pane::Loss));
    assert_eq!(mouse::action(&lab, &event(left, 150, 10), area), focus(Pane::State));
    assert_eq!(mouse::action(&lab, &event(left, 5, 47), area), None, "the footer");
    assert_eq!(mouse::action(&lab, &event(wheel, 5, 10), area), Some(Action::Move(Move::Right)));
    lab.update(Message::Key(Action::Lab(LabAction::Focus(Pane::Context))));
    assert_eq!(lab.lab.as_ref().unwrap().lower.0, Pane::Context);
    type_text(&mut lab, "?");
    assert_eq!(mouse::action(&lab, &event(left, 5, 10), area), None);
    assert_eq!(mouse::action(&fixture::gallery(), &event(wheel, 5, 10), area), Some(Action::Move(Move::Down)));
    assert_eq!(mouse::action(&app_in(Mode::Question), &event(wheel, 5, 10), area), None);
}

#[test]
fn a_status_from_before_space_does_not_take_it_back() {
    let mut app = fixture::lab();
    let reported = |app: &mut App, phase| {
        let status = Some(fixture::status(phase));
        app.update(Message::Worker(Box::new(Update { status, ..Update::default() })));
        app.lab.as_ref().unwrap().status.as_ref().unwrap().phase.clone()
    };
    for (order, phase, before) in
        [(Order::Pause, Phase::Paused, Phase::Running), (Order::Resume, Phase::Running, Phase::Paused)]
    {
        assert_eq!(press(&mut app, KeyCode::Char(' ')), [Effect::Order(order)]);
        assert_eq!(reported(&mut app, before.clone()), phase, "it was on its way");
        assert_eq!(reported(&mut app, phase.clone()), phase);
        // From here on the worker has the last word.
        assert_eq!(reported(&mut app, before), if phase == Phase::Paused { Phase::Running } else { Phase::Paused });
        assert_eq!(reported(&mut app, phase.clone()), phase);
    }
    // One that never comes to what was asked for is believed in the end.
    press(&mut app, KeyCode::Char(' '));
    assert_eq!(reported(&mut app, Phase::Running), Phase::Paused);
    assert_eq!(reported(&mut app, Phase::Running), Phase::Paused);
    assert_eq!(reported(&mut app, Phase::Running), Phase::Running);
    press(&mut app, KeyCode::Char(' '));
    assert_eq!(reported(&mut app, Phase::Finished), Phase::Finished);
}

#[test]
fn esc_steps_out_of_help_then_zoom_then_the_lab() {
    let mut app = fixture::lab();
    type_text(&mut app, "z?");
    assert_eq!(app.mode(), Mode::Help);
    type_text(&mut app, "jjk");
    assert_eq!(app.help, Some(1));
    press(&mut app, KeyCode::Esc);
    assert_eq!((app.mode(), app.lab.as_ref().unwrap().zoom), (Mode::Lab, true));
    press(&mut app, KeyCode::Esc);
    assert!(!app.lab.as_ref().unwrap().zoom);
    press(&mut app, KeyCode::Esc);
    assert_eq!(app.question, Some(Intent::LeaveLab));
    assert_eq!(type_text(&mut app, "n"), [Effect::Close, Effect::ListSessions, Effect::ReadResults]);
    assert_eq!(app.mode(), Mode::Gallery);
}

fn saved(app: &mut App) -> Vec<Effect> {
    let notes = vec![Note::Saved(PathBuf::from("saves/gd-ssm-seed0.ron"))];
    app.update(Message::Worker(Box::new(Update { notes, ..Update::default() })))
}

#[test]
fn unsaved_work_is_asked_about_and_saved_before_leaving() {
    let mut app = app_in(Mode::Question);
    assert_eq!(press(&mut app, KeyCode::Esc), []);
    assert_eq!(app.mode(), Mode::Lab);
    type_text(&mut app, "q");
    assert_eq!(type_text(&mut app, "y"), [Effect::Order(Order::Pause), Effect::Save]);
    assert_eq!(app.mode(), Mode::Lab);
    assert_eq!(saved(&mut app), [Effect::Exit(0)]);
}

/// A finished run whose steps are not saved, with and without a change of the learning rate.
fn finished(lr_changed: bool) -> App {
    let mut app = fixture::finished();
    if !lr_changed {
        app.lab.as_mut().unwrap().history.lr_changes.clear();
    }
    app
}

#[test]
fn the_question_is_asked_only_where_steps_would_be_lost() {
    assert_eq!(type_text(&mut finished(false), "q"), [Effect::Exit(0)]);
    let again = Effect::Order(Order::Restart { seed: None });
    assert_eq!(type_text(&mut finished(false), "r"), std::slice::from_ref(&again));
    assert_eq!(type_text(&mut finished(false), "b")[0], Effect::Close);
    for key in ["q", "r", "R", "b"] {
        let mut app = finished(true);
        assert_eq!((type_text(&mut app, key), app.mode()), (vec![], Mode::Question), "{key}");
        let mut unfinished = fixture::lab();
        assert_eq!((type_text(&mut unfinished, key), unfinished.mode()), (vec![], Mode::Question), "{key}");
    }
    // A signal leaves no time for a question and saves whatever is unsaved.
    assert_eq!(finished(false).update(Message::System(SystemEvent::Terminate(143)))[0], Effect::Save);
}

#[test]
fn a_restart_throws_nothing_away_unasked() {
    let mut app = fixture::lab();
    type_text(&mut app, "R");
    assert_eq!(app.question, Some(Intent::Restart(Some(1))));
    assert_eq!(type_text(&mut app, "c"), []);
    type_text(&mut app, "r");
    assert_eq!(type_text(&mut app, "n"), [Effect::Order(Order::Restart { seed: None })]);
    type_text(&mut app, "R");
    assert_eq!(type_text(&mut app, "y"), [Effect::Order(Order::Pause), Effect::Save]);
    assert_eq!(saved(&mut app), [Effect::Order(Order::Restart { seed: Some(1) })]);
}

#[test]
fn a_failed_save_keeps_the_user_in_the_lab() {
    let mut app = app_in(Mode::Question);
    type_text(&mut app, "y");
    let notes = vec![Note::SaveFailed("disk full".to_owned())];
    assert_eq!(app.update(Message::Worker(Box::new(Update { notes, ..Update::default() }))), []);
    assert_eq!((app.mode(), app.notice.as_deref()), (Mode::Lab, Some("not saved: disk full")));
}

#[test]
fn what_is_saved_is_left_without_a_question() {
    let mut app = fixture::lab();
    let mut status = fixture::status(Phase::Paused);
    status.saved_step = Some(status.step);
    app.update(Message::Worker(Box::new(Update { status: Some(status), ..Update::default() })));
    assert_eq!(type_text(&mut app, "q"), [Effect::Exit(0)]);
    assert_eq!(fixture::gallery().update(Message::Key(Action::Quit)), [Effect::Exit(0)]);
}

#[test]
fn a_signal_saves_and_leaves_whatever_the_save_comes_to() {
    let mut app = fixture::lab();
    let effects = app.update(Message::System(SystemEvent::Terminate(143)));
    assert!(
        matches!(&effects[..], [first, Effect::StartTimer(_, SystemEvent::SaveOverdue)] if *first == Effect::Save),
        "{effects:?}"
    );
    assert_eq!(app.update(Message::System(SystemEvent::Terminate(129))), []);
    // A key that was pressed just before the signal does not abandon its save.
    for key in ['q', 'q', 'b', 'r', 'n'] {
        assert_eq!(press(&mut app, char(key)), [], "{key}");
    }
    assert_eq!(saved(&mut app), [Effect::Exit(143)]);

    let mut overdue = fixture::lab();
    overdue.update(Message::System(SystemEvent::Terminate(129)));
    assert_eq!(overdue.update(Message::System(SystemEvent::SaveOverdue)), [Effect::Exit(129)]);
    assert_eq!(overdue.update(Message::System(SystemEvent::SaveOverdue)), []);
    assert_eq!(fixture::gallery().update(Message::System(SystemEvent::Terminate(130))), [Effect::Exit(130)]);
}

#[test]
fn keys_that_work_everywhere_do() {
    for mode in Mode::ALL {
        let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
        assert_eq!(press(&mut app_in(mode), control('z')), [Effect::SuspendJob]);
        assert_eq!(press(&mut app_in(mode), control('l')), [Effect::Repaint]);
        let mut app = app_in(mode);
        let effects = press(&mut app, control('c'));
        assert!(effects == [Effect::Exit(0)] || app.question.is_some(), "{mode:?}");
    }
}

#[test]
fn in_the_gallery_direction_keys_have_four_directions() {
    let mut app = fixture::gallery();
    let mut go = |direction| drop(app.update(Message::Key(Action::Move(direction))));
    go(Move::Right);
    go(Move::Down);
    go(Move::Up);
    go(Move::Left);
    assert_eq!((app.gallery.tab, app.gallery.selected()), (Tab::Presets, 0));
}
