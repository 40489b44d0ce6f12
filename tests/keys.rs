//! Every key of the keymap leads to its action, and every action changes something or asks for something.

mod fixture;

use std::path::PathBuf;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use innerloop::train::DeviceChoice;
use innerloop::tui::action::{Action, Direction, Effect};
use innerloop::tui::app::{App, Destination, PACES, Pane, Tab};
use innerloop::tui::keymap::{self, Mode, ROWS};
use innerloop::worker::{Note, Order, Phase, Status, Update};

fn press(app: &mut App, key: impl Into<KeyEvent>) -> Vec<Effect> {
    keymap::action(app.mode(), &key.into()).map_or_else(Vec::new, |action| app.update(action))
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
        Mode::Gallery | Mode::Search => fixture::gallery(),
        Mode::Lab | Mode::Help | Mode::Question => fixture::lab(),
    };
    match mode {
        Mode::Search => drop(app.update(Action::Search)),
        Mode::Help => drop(app.update(Action::Help)),
        Mode::Question => drop(app.update(Action::Quit)),
        Mode::Gallery | Mode::Lab => {}
    }
    assert_eq!(app.mode(), mode);
    app
}

#[test]
fn every_key_leads_to_the_action_of_its_row_and_to_no_other() {
    for mode in Mode::ALL {
        for row in keymap::rows(mode) {
            for key in row.keys {
                let action = keymap::action(mode, &key.event()).unwrap();
                assert_eq!(format!("{action:?}"), format!("{:?}", row.action), "{mode:?} {}", row.shown);
            }
        }
    }
}

#[test]
fn a_footer_has_seven_hints_at_most_and_always_a_way_on() {
    for mode in Mode::ALL {
        assert!(keymap::hints(mode).count() <= 7, "{mode:?}");
    }
    for mode in [Mode::Gallery, Mode::Lab] {
        assert!(keymap::hints(mode).any(|(key, _)| key == "?"), "{mode:?}");
    }
}

#[test]
fn the_table_for_the_readme_has_every_row() {
    let table = keymap::markdown_table();
    assert_eq!(table.lines().count(), ROWS.len() + 2);
    assert!(table.contains("| `Space` | pause, and go on | lab |"), "{table}");
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
    assert!(matches!(&effects[..], [Effect::StartPreset(name, _)] if name == "gd-ssm"), "{effects:?}");
}

#[test]
fn lists_are_walked_and_an_unreadable_file_says_why_instead_of_opening() {
    let mut app = fixture::gallery();
    type_text(&mut app, "j");
    assert_eq!(app.gallery.chosen_preset().unwrap().name, "linear-attention");
    type_text(&mut app, "kG");
    assert_eq!(app.gallery.chosen_preset().unwrap().name, "broken");
    assert_eq!(press(&mut app, KeyCode::Enter), []);
    assert!(app.notice.as_deref().is_some_and(|notice| notice.contains("did you mean")));
    type_text(&mut app, "g");
    assert_eq!((app.gallery.chosen(), &app.notice), (0, &None));
    type_text(&mut app, "l");
    assert_eq!(app.gallery.tab, Tab::Sessions);
    assert_eq!(press(&mut app, KeyCode::Enter), [Effect::OpenSession(PathBuf::from("saves/gd-ssm-seed3.ron"))]);
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.gallery.tab, Tab::Presets);
    type_text(&mut app, "d");
    assert_eq!(app.gallery.device, DeviceChoice::Cpu);
}

#[test]
fn a_long_card_is_scrolled_and_another_one_begins_at_its_start() {
    let mut app = fixture::gallery();
    press(&mut app, KeyCode::PageDown);
    assert!(app.gallery.card_scroll > 0);
    type_text(&mut app, "K");
    assert_eq!(app.gallery.card_scroll, 0);
    type_text(&mut app, "Jj");
    assert_eq!((app.gallery.chosen(), app.gallery.card_scroll), (1, 0));
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
    assert_eq!(app.gallery.chosen_preset().unwrap().name, "linear-attention");
    press(&mut app, KeyCode::Esc);
    assert_eq!((app.gallery.search.as_str(), app.gallery.presets().len()), ("", 3));
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
    assert_eq!(order(type_text(&mut app, "r")), Order::Restart { seed: None });
    assert_eq!(order(type_text(&mut app, "R")), Order::Restart { seed: Some(1) });
    assert_eq!(type_text(&mut app, "s"), [Effect::Save]);
}

#[test]
fn a_run_that_is_still_opening_says_so_instead_of_saving() {
    let mut app = fixture::gallery();
    app.update(Action::Started { title: "a run".to_owned() });
    assert_eq!(type_text(&mut app, "s"), []);
    assert!(app.notice.as_deref().is_some_and(|notice| notice.contains("still opening")), "{:?}", app.notice);
}

#[test]
fn o_asks_for_other_tasks_and_shows_what_comes_of_it() {
    let mut app = fixture::lab();
    app.update(Action::Updated(Box::new(Update { shifts: fixture::shifts(), ..Update::default() })));
    assert_eq!(type_text(&mut app, "o"), [Effect::Order(Order::Shift)]);
    let lab = app.lab.as_ref().unwrap();
    assert_eq!((lab.focus, lab.companion, lab.lower.1, lab.shifts.len()), (Pane::Shift, Pane::Shift, Pane::Shift, 0));
    assert_eq!(fixture::empty_lab().update(Action::MeasureShifts), []);
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
    (0..3).for_each(|_| drop(press(&mut app, KeyCode::BackTab)));
    assert_eq!(app.lab.as_ref().unwrap().lower, (Pane::Context, Pane::Predictions));
    assert_eq!(type_text(&mut app, "az"), []);
    let lab = app.lab.as_ref().unwrap();
    assert!(lab.zoom && !lab.log_axis);
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
fn at_the_end_the_claims_come_to_the_front_unless_somebody_looks_there() {
    let shown = |app: &App| app.lab.as_ref().map(|lab| (lab.companion, lab.lower.1)).unwrap();
    assert_eq!(shown(&fixture::finished()), (Pane::Claims, Pane::Claims));
    let end = |app: &mut App| {
        let status = Status { step: fixture::STEPS, ..fixture::status(Phase::Finished) };
        let (status, checked) = (Some(status), Some(fixture::outcome()));
        app.update(Action::Updated(Box::new(Update { status, checked, ..Update::default() })))
    };
    let mut app = fixture::lab();
    app.lab.as_mut().unwrap().focus = Pane::Predictions;
    end(&mut app);
    assert_eq!(shown(&app), (Pane::State, Pane::Predictions));
}

#[test]
fn only_a_run_as_the_preset_says_is_noted() {
    let checked = || Box::new(Update { checked: Some(fixture::outcome()), ..Update::default() });
    let mut turned = fixture::lab();
    assert!(!turned.lab.as_ref().unwrap().history.lr_changes.is_empty());
    assert_eq!(turned.update(Action::Updated(checked())), []);
    let mut app = fixture::lab();
    app.lab.as_mut().unwrap().history.lr_changes.clear();
    let effects = app.update(Action::Updated(checked()));
    assert!(matches!(&effects[..], [Effect::Note(name, ..)] if name == "gd-ssm"), "{effects:?}");
    let mut other_seed = fixture::opened();
    other_seed.seed = 9;
    let update = Update { opened: Some(other_seed), checked: Some(fixture::outcome()), ..Update::default() };
    assert_eq!(app.update(Action::Updated(Box::new(update))), []);
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
    assert_eq!(app.question, Some(Destination::Gallery));
    assert_eq!(type_text(&mut app, "n"), [Effect::Close, Effect::ListSessions, Effect::ReadLedger]);
    assert_eq!(app.mode(), Mode::Gallery);
}

fn saved(app: &mut App) -> Vec<Effect> {
    let notes = vec![Note::Saved(PathBuf::from("saves/gd-ssm-seed0.ron"))];
    app.update(Action::Updated(Box::new(Update { notes, ..Update::default() })))
}

#[test]
fn unsaved_work_is_asked_about_and_saved_before_leaving() {
    let mut app = app_in(Mode::Question);
    assert_eq!(press(&mut app, KeyCode::Esc), []);
    assert_eq!(app.mode(), Mode::Lab);
    type_text(&mut app, "q");
    assert_eq!(type_text(&mut app, "y"), [Effect::Order(Order::Pause), Effect::Save]);
    assert_eq!(app.mode(), Mode::Lab);
    assert_eq!(saved(&mut app), [Effect::Leave(0)]);
}

#[test]
fn a_failed_save_keeps_the_person_in_the_lab() {
    let mut app = app_in(Mode::Question);
    type_text(&mut app, "y");
    let notes = vec![Note::SaveFailed("disk full".to_owned())];
    assert_eq!(app.update(Action::Updated(Box::new(Update { notes, ..Update::default() }))), []);
    assert_eq!((app.mode(), app.notice.as_deref()), (Mode::Lab, Some("not saved: disk full")));
}

#[test]
fn what_is_saved_is_left_without_a_question() {
    let mut app = fixture::lab();
    let mut status = fixture::status(Phase::Paused);
    status.saved_step = Some(status.step);
    app.update(Action::Updated(Box::new(Update { status: Some(status), ..Update::default() })));
    assert_eq!(type_text(&mut app, "q"), [Effect::Leave(0)]);
    assert_eq!(fixture::gallery().update(Action::Quit), [Effect::Leave(0)]);
}

#[test]
fn told_to_end_it_saves_and_leaves_whatever_comes_of_it() {
    let mut app = fixture::lab();
    assert!(matches!(app.update(Action::Terminate(143))[..], [Effect::SaveWithin(_)]));
    assert_eq!(app.update(Action::Terminate(129)), []);
    assert_eq!(saved(&mut app), [Effect::Leave(143)]);

    let mut overdue = fixture::lab();
    overdue.update(Action::Terminate(129));
    assert_eq!(overdue.update(Action::SaveOverdue), [Effect::Leave(129)]);
    assert_eq!(overdue.update(Action::SaveOverdue), []);
    assert_eq!(fixture::gallery().update(Action::Terminate(130)), [Effect::Leave(130)]);
}

#[test]
fn keys_that_work_everywhere_do() {
    for mode in Mode::ALL {
        let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
        assert_eq!(press(&mut app_in(mode), control('z')), [Effect::Suspend]);
        assert_eq!(press(&mut app_in(mode), control('l')), [Effect::Repaint]);
        let mut app = app_in(mode);
        let effects = press(&mut app, control('c'));
        assert!(effects == [Effect::Leave(0)] || app.question.is_some(), "{mode:?}");
    }
}

#[test]
fn in_the_gallery_direction_keys_have_four_directions() {
    let mut app = fixture::gallery();
    let mut go = |direction| drop(app.update(Action::Move(direction)));
    go(Direction::Right);
    go(Direction::Down);
    go(Direction::Up);
    go(Direction::Left);
    assert_eq!((app.gallery.tab, app.gallery.chosen()), (Tab::Presets, 0));
}
