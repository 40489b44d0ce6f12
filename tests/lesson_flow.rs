//! A lesson on the screen: from the question through the stages to the answer, with every key of the lab on the way.

mod fixture;

use innerloop::lesson::{Answered, Extra, Outcome, Stage, Until};
use innerloop::preset::{Claim, Quantity};
use innerloop::reference::Reference;
use innerloop::session::ClaimRecord;
use innerloop::train::context_cost::{ContextCost, ModelCost};
use innerloop::tui::app::{App, LessonPhase, Tab};
use innerloop::tui::effects::Effect;
use innerloop::tui::keymap::Mode;
use innerloop::tui::message::{
    Action, Answer, EditorAction, EffectResult, LabAction, LessonAction, Message, Move, SystemEvent,
};
use innerloop::tui::pane::Pane;
use innerloop::worker::{Opened, Order, Phase, Source, Status, Update};

fn act(app: &mut App, action: Action) -> Vec<Effect> {
    app.update(Message::Key(action))
}

fn lesson(app: &mut App, action: LessonAction) -> Vec<Effect> {
    act(app, Action::Lesson(action))
}

fn report(app: &mut App, update: Update) -> Vec<Effect> {
    app.update(Message::Worker(Box::new(update)))
}

fn at_step(app: &mut App, run: usize, step: u64, phase: Phase) -> Vec<Effect> {
    let status = Status { step, ..fixture::status(phase) };
    report(app, Update { run, status: Some(status), ..Update::default() })
}

fn phase(app: &App) -> LessonPhase {
    app.lesson.as_ref().unwrap().phase
}

/// A lesson whose stages are changed, at its question.
fn question(change: impl FnOnce(&mut Vec<Stage>)) -> App {
    let mut content = fixture::lessons::content(1);
    change(&mut content.stages);
    let mut app = fixture::lessons::list();
    app.open_lesson("one-step".to_owned(), content);
    app
}

/// Answers the question, and lets the runs open.
fn watch(app: &mut App) {
    lesson(app, LessonAction::Choose(0));
    app.update(Message::Result(EffectResult::Started { title: "GD-SSM".to_owned() }));
    report(app, Update { opened: Some(fixture::opened()), ..Update::default() });
}

#[test]
fn the_gallery_opens_a_lesson_and_a_choice_begins_its_experiment() {
    let mut app = fixture::lessons::list();
    assert_eq!((app.gallery.tab, app.mode()), (Tab::Lessons, Mode::Lessons));
    assert_eq!(act(&mut app, Action::Gallery(innerloop::tui::message::GalleryAction::Open)), []);
    assert_eq!((phase(&app), app.mode()), (LessonPhase::Question, Mode::Choice));
    act(&mut app, Action::Move(Move::Down));
    let effects = lesson(&mut app, LessonAction::Accept);
    assert_eq!(app.lesson.as_ref().unwrap().chosen, Some(1));
    let [Effect::Start(Source::Preset(name, preset), _), Effect::Order(Order::Pace(Some(pace)))] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((name.as_str(), *pace, preset.claims.len()), ("gd-ssm", 100.0, 4));
    // A file that cannot be read says why.
    let mut app = fixture::lessons::list();
    act(&mut app, Action::Move(Move::Last));
    act(&mut app, Action::Gallery(innerloop::tui::message::GalleryAction::Open));
    assert!(app.lesson.is_none() && app.notice.as_deref().is_some_and(|notice| notice.contains("the text ends here")));
}

#[test]
fn stages_follow_each_other_when_their_conditions_hold_and_the_answer_waits_for_a_key() {
    let mut app = question(|stages| stages[1].pace = Some(7.0));
    watch(&mut app);
    let caption = |app: &App| app.lab.as_ref().unwrap().caption.clone().unwrap();
    assert_eq!(at_step(&mut app, 0, 2_999, Phase::Running), []);
    assert_eq!((caption(&app).stage, caption(&app).waits), ((1, 2), false));
    assert_eq!(at_step(&mut app, 0, 3_000, Phase::Running), [Effect::Order(Order::Pace(Some(7.0)))]);
    assert_eq!((caption(&app).stage, caption(&app).waits), ((2, 2), false));
    assert_eq!(app.lab.as_ref().unwrap().focus, Pane::Predictions);
    // At the end the claims of the last step are waited for.
    at_step(&mut app, 0, fixture::STEPS, Phase::Finished);
    assert!(!caption(&app).waits);
    report(&mut app, Update { checked: Some(fixture::outcome()), ..Update::default() });
    assert!(caption(&app).waits && caption(&app).is_last());
    assert_ne!(app.lab.as_ref().unwrap().lower.1, Pane::Claims, "claims do not come to the front");
    let effects = lesson(&mut app, LessonAction::Next);
    assert_eq!(effects, [Effect::RecordAnswer("one-step".to_owned(), Outcome::Wrong)]);
    assert_eq!((phase(&app), app.mode()), (LessonPhase::Answer, Mode::Reveal));
    assert_eq!(app.lab.as_ref().unwrap().caption, None);
    // Esc frees the lab, Enter shows the answer again, which is recorded once.
    act(&mut app, Action::Back);
    assert_eq!((phase(&app), app.mode()), (LessonPhase::Exploring, Mode::Lesson));
    assert_eq!(lesson(&mut app, LessonAction::Next), []);
    assert_eq!(phase(&app), LessonPhase::Answer);
    // The next lesson begins with its question; after the last, the gallery is back.
    assert_eq!(lesson(&mut app, LessonAction::NextLesson)[0], Effect::Close);
    assert_eq!((app.lesson.as_ref().unwrap().name.as_str(), phase(&app)), ("depth", LessonPhase::Question));
    assert!(app.lab.is_none());
}

#[test]
fn a_key_goes_on_earlier_and_what_was_not_measured_is_said() {
    let mut app = question(|_| {});
    lesson(&mut app, LessonAction::Skip);
    assert_eq!(lesson(&mut app, LessonAction::Next), [], "nothing has begun yet");
    app.update(Message::Result(EffectResult::Started { title: String::new() }));
    lesson(&mut app, LessonAction::Next);
    let effects = lesson(&mut app, LessonAction::Next);
    assert_eq!(effects, [Effect::RecordAnswer("one-step".to_owned(), Outcome::Skipped)]);
    let screen = app.lesson.as_ref().unwrap();
    assert!(screen.lesson.claims().all(|(name, claim)| screen.check(name, claim).is_none()));
    // The answer that was recorded is marked in the gallery.
    let mut answered = Answered::default();
    answered.record("one-step", Outcome::Skipped);
    app.update(Message::Result(EffectResult::AnsweredRead(Ok(answered))));
    assert_eq!(app.gallery.answered.outcome("one-step"), Some(Outcome::Skipped));
}

#[test]
fn a_stage_can_wait_for_a_loss_and_pause_at_its_end() {
    let mut app = question(|stages| {
        stages[0].until = Until::LossOver(Reference::Gd(1), 1.01);
        stages[0].pause = true;
    });
    watch(&mut app);
    let measured = |step| Update { measurements: vec![fixture::measurement(step)], ..Update::default() };
    assert_eq!(report(&mut app, measured(1_000)), []);
    at_step(&mut app, 0, 3_000, Phase::Running);
    assert_eq!(report(&mut app, measured(3_000)), [Effect::Order(Order::Pause)]);
    assert!(app.lab.as_ref().unwrap().caption.as_ref().unwrap().waits);
    assert_eq!(lesson(&mut app, LessonAction::Next), [Effect::Order(Order::Resume)]);
}

#[test]
fn what_a_stage_measures_is_ordered_for_every_run_and_waited_for() {
    let mut app = question(|stages| {
        stages[0].runs = vec!["gd-ssm".to_owned(), "other".to_owned()];
        stages[1].measure = vec![Extra::Fits];
    });
    let screen = app.lesson.as_mut().unwrap();
    screen.lesson.presets.push(("other".to_owned(), fixture::preset()));
    let effects = lesson(&mut app, LessonAction::Choose(1));
    assert!(matches!(&effects[0], Effect::StartSeveral(sources, _) if sources.len() == 2), "{effects:?}");
    app.update(Message::Result(EffectResult::SeveralStarted(vec![String::new(), String::new()])));
    for (run, name) in ["gd-ssm", "other"].into_iter().enumerate() {
        let opened = Opened { name: name.to_owned(), ..fixture::opened() };
        report(&mut app, Update { run, opened: Some(opened), ..Update::default() });
    }
    assert_eq!(at_step(&mut app, 0, 3_000, Phase::Running), [], "the other run is behind");
    assert_eq!(at_step(&mut app, 1, 3_000, Phase::Running), [], "the second stage has begun");
    let mut orders = vec![];
    for run in [0, 1] {
        at_step(&mut app, run, fixture::STEPS, Phase::Finished);
        orders = report(&mut app, Update { run, checked: Some(fixture::outcome()), ..Update::default() });
    }
    let focus = |run| Effect::Order(Order::Focus(run));
    let fit = || Effect::Order(Order::Fit);
    assert_eq!(orders, [focus(0), fit(), focus(1), fit(), focus(0)]);
    assert!(!app.lab.as_ref().unwrap().caption.as_ref().unwrap().waits, "the fits are not there");
    for run in [0, 1] {
        let fitted = innerloop::worker::Fitted { step: 1, fits: Err("x".to_owned()) };
        report(&mut app, Update { run, fitted: Some(fitted), ..Update::default() });
    }
    assert!(app.lab.as_ref().unwrap().caption.as_ref().unwrap().waits);
}

#[test]
fn experiments_are_compared_with_each_other_by_their_losses_on_all_tasks() {
    let mut app = question(|stages| stages[0].runs = vec!["gd-ssm".to_owned(), "other".to_owned()]);
    let claim = Claim {
        measure: Quantity::LossOverPreset("gd-ssm".to_owned()),
        at_least: Some(2.0),
        ..fixture::preset().claims[0].clone()
    };
    let claim = Claim { within: None, ..claim };
    let other = innerloop::preset::Preset { claims: vec![claim.clone()], ..fixture::preset() };
    app.lesson.as_mut().unwrap().lesson.presets.push(("other".to_owned(), other.clone()));
    lesson(&mut app, LessonAction::Choose(1));
    app.update(Message::Result(EffectResult::SeveralStarted(vec![String::new(), String::new()])));
    let check = |app: &App| app.lesson.as_ref().unwrap().check("other", &claim);
    for (run, name, loss) in [(0, "gd-ssm", 0.2), (1, "other", 0.5)] {
        assert_eq!(check(&app), None);
        let opened = Opened { name: name.to_owned(), preset: other.clone().into(), ..fixture::opened() };
        report(&mut app, Update { run, opened: Some(opened), ..Update::default() });
        at_step(&mut app, run, fixture::STEPS, Phase::Finished);
        let record = ClaimRecord { loss: Some(loss), ..ClaimRecord::default() };
        report(&mut app, Update { run, checked: Some(record), ..Update::default() });
    }
    let found = check(&app).unwrap();
    assert!(found.held && (found.value - 2.5).abs() < 1e-12, "{found:?}");
    // A run that starts again is measured again.
    let opened = Opened { name: "gd-ssm".to_owned(), ..fixture::opened() };
    report(&mut app, Update { run: 0, opened: Some(opened), ..Update::default() });
    assert_eq!(check(&app), None);
}

#[test]
fn a_stage_shows_its_layer_and_the_next_one_keeps_it() {
    let mut app = fixture::lessons::question();
    app.lesson.as_mut().unwrap().lesson.stages[0].layer = Some(2);
    act(&mut app, Action::Lesson(LessonAction::Choose(0)));
    app.update(Message::Result(EffectResult::Started { title: String::new() }));
    let layer = |app: &App| app.lab.as_ref().unwrap().cursor.layer;
    assert_eq!(layer(&app), 1);
    act(&mut app, Action::Lesson(LessonAction::Next));
    assert_eq!((app.lesson.as_ref().unwrap().stage, layer(&app)), (1, 1));
}

#[test]
fn the_keys_of_the_lab_work_and_no_steps_of_a_lesson_are_asked_about() {
    let mut app = fixture::lessons::lesson();
    assert_eq!(act(&mut app, Action::Lab(LabAction::TogglePause)), [Effect::Order(Order::Pause)]);
    act(&mut app, Action::ToggleProjector);
    assert!(app.projector);
    act(&mut app, Action::Lab(LabAction::ToggleZoom));
    assert!(app.lab.as_ref().unwrap().zoom);
    // Another seed begins at the first stage of the runs.
    assert_eq!(app.lesson.as_ref().unwrap().stage, 1);
    let restart = Effect::Order(Order::Restart { seed: Some(1) });
    assert_eq!(act(&mut app, Action::Restart { next_seed: true }), [restart]);
    assert_eq!(app.lesson.as_ref().unwrap().stage, 0);
    assert_eq!(act(&mut app, Action::LeaveLab)[0], Effect::Close);
    assert!(app.lesson.is_none() && app.question.is_none() && app.mode() == Mode::Lessons);
    // Nor does a signal save them: the lesson gives them again.
    let mut app = fixture::lessons::lesson();
    assert_eq!(app.update(Message::System(SystemEvent::Terminate(129))), [Effect::Exit(129)]);
    // What is trained further after the answer is the user's.
    let mut app = fixture::lessons::answer();
    lesson(&mut app, LessonAction::Explore);
    at_step(&mut app, 0, fixture::STEPS + 5, Phase::Running);
    act(&mut app, Action::LeaveLab);
    assert!(app.question.is_some());
    assert_eq!(app.update(Message::System(SystemEvent::Terminate(129)))[0], Effect::Save);
    let mut app = fixture::lessons::answer();
    lesson(&mut app, LessonAction::Explore);
    at_step(&mut app, 0, fixture::STEPS + 5, Phase::Running);
    act(&mut app, Action::LeaveLab);
    assert_eq!(act(&mut app, Action::Answer(Answer::Discard))[0], Effect::Close);
}

#[test]
fn an_edited_experiment_is_no_longer_the_lesson() {
    let mut app = fixture::lessons::lesson();
    act(&mut app, Action::OpenEditor);
    for action in [EditorAction::Edit, EditorAction::Type('5'), EditorAction::Accept] {
        act(&mut app, Action::Editor(action));
    }
    let effects = act(&mut app, Action::StartEdited);
    assert!(matches!(effects[..], [Effect::Start(..)]) && app.lesson.is_none(), "{effects:?}");
    assert!(app.notice.as_deref().is_some_and(|notice| notice.contains("The lesson has ended")), "{:?}", app.notice);
}

#[test]
fn what_the_context_costs_stays_when_other_runs_of_the_lesson_begin() {
    let cost = ContextCost {
        context: 8,
        tokens: 17,
        training_seconds_per_token: 1e-6,
        reading_seconds_per_token: Some(1e-7),
        whole: None,
        step: None,
    };
    let measured = ModelCost { name: "gd-ssm".to_owned(), cost };
    let costs = |app: &App| app.lab.as_ref().unwrap().context_costs.clone();
    let start = |app: &mut App| app.update(Message::Result(EffectResult::Started { title: "Transformer".to_owned() }));
    let mut app = question(|_| {});
    watch(&mut app);
    report(&mut app, Update { context_costs: vec![measured.clone()], ..Update::default() });
    start(&mut app);
    assert_eq!(costs(&app), [measured]);
    // Without a lesson the next run is of other fields.
    app.lesson = None;
    start(&mut app);
    assert_eq!(costs(&app), []);
}
