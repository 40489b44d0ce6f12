//! The thread that lists the saved sessions: their heads first, newest first, then their curves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::SystemTime;

use super::event::Event;
use super::message::EffectResult;
use crate::session::{self, Summary};

/// Sessions that are posted first; each following post has twice as many.
const FIRST: usize = 16;

/// Starts listings; at most one of them goes on.
#[derive(Default)]
pub struct Lister {
    /// The number of the present listing; an earlier one ends when it sees another.
    present: Arc<AtomicU64>,
}

impl Lister {
    /// Starts a listing in a thread of its own. Where no thread can be started, nothing is listed.
    pub fn start(&self, folder: PathBuf, events: Sender<Event>) {
        let number = self.present.fetch_add(1, Ordering::Relaxed) + 1;
        let present = Arc::clone(&self.present);
        let post = move |rows: &[Summary], complete| {
            let result = EffectResult::SessionsListed { rows: with_ages(rows), complete };
            present.load(Ordering::Relaxed) == number && events.send(Event::Result(result)).is_ok()
        };
        let _ = thread::Builder::new().name("sessions".to_owned()).spawn(move || list(&folder, &post));
    }

    /// Ends the listing, so that it does not compete with a run.
    pub fn stop(&self) {
        self.present.fetch_add(1, Ordering::Relaxed);
    }
}

/// Posts more and more of the list, until `post` says that it is no longer wanted.
fn list(folder: &Path, post: &dyn Fn(&[Summary], bool) -> bool) -> Option<()> {
    let wanted = |rows: &[Summary], complete| post(rows, complete).then_some(());
    let mut rows = Vec::new();
    for (path, modified) in session::files(folder) {
        rows.push(session::summary(path, modified));
        if rows.len() >= FIRST && rows.len().is_power_of_two() {
            wanted(&rows, false)?;
        }
    }
    wanted(&rows, true)?;
    for i in 0..rows.len() {
        let Summary { path, content, .. } = &mut rows[i];
        if let (Ok(content), Some(curve)) = (content, session::curve(path)) {
            content.final_loss = curve.last().map(|(_, loss)| loss);
            content.curve = curve.buckets().iter().map(|bucket| bucket.mean).collect();
        }
        let last = i + 1 == rows.len();
        if last || (i + 1 >= FIRST && (i + 1).is_power_of_two()) {
            wanted(&rows, true)?;
        }
    }
    Some(())
}

/// The sessions, each with its age in seconds.
fn with_ages(rows: &[Summary]) -> Vec<(Summary, u64)> {
    let now = SystemTime::now();
    let age = |row: &Summary| now.duration_since(row.modified).map_or(0, |age| age.as_secs());
    rows.iter().map(|row| (row.clone(), age(row))).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;

    use super::list;
    use crate::session::{Session, Summary};
    use crate::train::{DeviceChoice, Experiment};

    #[test]
    fn heads_come_first_and_curves_later_and_a_listing_that_is_not_wanted_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (name, mut preset) = crate::preset::find("gd-ssm").unwrap();
        preset.references.truncate(1);
        let mut experiment = Experiment::start(&name, preset, DeviceChoice::Cpu).unwrap();
        experiment.advance(1).unwrap();
        let mut text = crate::preset::pretty(&Session::of(&experiment).unwrap()).unwrap();
        // As long as a session whose head is read alone.
        text.push_str(&" ".repeat(70 << 10));
        (0..20).for_each(|i| fs::write(folder.path().join(format!("{i}.ron")), &text).unwrap());
        fs::write(folder.path().join("quotes.ron"), "'".repeat(3 << 20)).unwrap();
        let posts = RefCell::new(Vec::new());
        let seen = |rows: &[Summary], complete: bool| {
            let curves = rows.iter().filter(|row| row.content.as_ref().is_ok_and(|c| !c.curve.is_empty())).count();
            posts.borrow_mut().push((rows.len(), complete, curves));
            posts.borrow().len() < 4
        };
        list(folder.path(), &seen);
        let posts = posts.into_inner();
        assert_eq!(posts[..2], [(16, false, 0), (21, true, 0)]);
        assert!(
            posts[2..] == [(21, true, 15), (21, true, 20)] || posts[2..] == [(21, true, 16), (21, true, 20)],
            "{posts:?}"
        );
        let once = RefCell::new(0);
        list(folder.path(), &|_: &[Summary], _| {
            *once.borrow_mut() += 1;
            false
        });
        assert_eq!(once.into_inner(), 1);
    }
}
