//! What the mouse does, where `--mouse` asks for it: a click gives a pane the focus, the wheel moves as the arrows do.
//!
//! Off by default, because a terminal that reports its mouse does not select text.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::app::App;
use super::keymap::Mode;
use super::layout;
use super::message::{Action, LabAction, Move};

/// The action of a mouse event on a screen of this area; `None` where it does nothing.
pub fn action(app: &App, event: &MouseEvent, area: Rect) -> Option<Action> {
    match event.kind {
        MouseEventKind::ScrollUp => wheel(app.mode(), false),
        MouseEventKind::ScrollDown => wheel(app.mode(), true),
        MouseEventKind::Down(MouseButton::Left) => click(app, Position::new(event.column, event.row), area),
        MouseEventKind::Down(MouseButton::Right | MouseButton::Middle)
        | MouseEventKind::Up(_)
        | MouseEventKind::Drag(_)
        | MouseEventKind::Moved
        | MouseEventKind::ScrollLeft
        | MouseEventKind::ScrollRight => None,
    }
}

/// Along a list or a text; in the lab along the tokens or the values.
fn wheel(mode: Mode, on: bool) -> Option<Action> {
    let (back, forward) = match mode {
        Mode::Lab | Mode::Values | Mode::Lesson => (Move::Left, Move::Right),
        Mode::Lessons | Mode::Gallery | Mode::Sessions | Mode::Choice | Mode::Reveal | Mode::Editor | Mode::Help => {
            (Move::Up, Move::Down)
        }
        Mode::Search | Mode::Rename | Mode::Delete | Mode::Typing | Mode::Sweep | Mode::Question => return None,
    };
    Some(Action::Move(if on { forward } else { back }))
}

fn click(app: &App, place: Position, area: Rect) -> Option<Action> {
    let in_lab = matches!(app.mode(), Mode::Lab | Mode::Values | Mode::Lesson) && !app.projector;
    let lab = app.lab.as_ref().filter(|_| in_lab)?;
    let panes = layout::lab(lab, area).panes;
    let (pane, _) = panes.into_iter().find(|(_, area)| area.contains(place))?;
    Some(Action::Lab(LabAction::Focus(pane)))
}
