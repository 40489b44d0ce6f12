//! Threads that read the saved sessions: for the list, their heads, newest first, and then those without a digest
//! whole; and the sessions that are opened beside another.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::SystemTime;

use super::app::KeptRun;
use super::event::Event;
use super::message::EffectResult;
use crate::preset;
use crate::session::{self, Heads, Summary};

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

/// Reads sessions whose curves are to stand beside a run, in a thread of its own.
pub fn read_kept(paths: Vec<PathBuf>, events: Sender<Event>) {
    let read = move || {
        let of_session = |path: PathBuf| {
            let session = session::load(&path).map_err(|error| format!("{error:#}"))?;
            let overrides = preset::overridden(&session.name, &session.preset);
            Ok(KeptRun::of_session(path, session, overrides))
        };
        let runs = paths.into_iter().map(of_session).collect();
        // The receiver is gone only while the program ends.
        let _ = events.send(Event::Result(EffectResult::KeptRead(runs)));
    };
    let _ = thread::Builder::new().name("kept sessions".to_owned()).spawn(read);
}

/// Posts more and more of the list, until `post` says that it is no longer wanted.
fn list(folder: &Path, post: &dyn Fn(&[Summary], bool) -> bool) -> Option<()> {
    let wanted = |rows: &[Summary], complete| post(rows, complete).then_some(());
    let mut rows = Vec::new();
    let mut heads = Heads::default();
    for (path, modified) in session::files(folder) {
        rows.push(heads.summary(path, modified));
        if rows.len() >= FIRST && rows.len().is_power_of_two() {
            wanted(&rows, false)?;
        }
    }
    wanted(&rows, true)?;
    let old = |row: &Summary| row.content.as_ref().is_ok_and(|content| content.digest.curve.is_empty());
    let old: Vec<usize> = (0..rows.len()).filter(|&i| old(&rows[i])).collect();
    for (read, &i) in (1..).zip(&old) {
        let Summary { path, content, .. } = &mut rows[i];
        if let Ok(content) = content
            && let Some(digest) = session::digest(path, &content.digest)
        {
            content.digest = digest;
        }
        if read == old.len() || (read >= FIRST && read.is_power_of_two()) {
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
    fn heads_come_first_and_old_files_whole_and_a_listing_that_is_not_wanted_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (name, mut preset) = crate::preset::find("gd-ssm").unwrap();
        preset.references.truncate(1);
        let mut experiment = Experiment::start(&name, preset, DeviceChoice::Cpu).unwrap();
        experiment.advance(1).unwrap();
        let session = Session::of(&experiment).unwrap();
        let mut text = crate::preset::pretty(&Session { digest: None, ..session.clone() }).unwrap();
        // As long as a session whose head is read alone.
        text.push_str(&" ".repeat(70 << 10));
        (0..20).for_each(|i| fs::write(folder.path().join(format!("{i}.ron")), &text).unwrap());
        fs::write(folder.path().join("quotes.ron"), "'".repeat(3 << 20)).unwrap();
        let posts = RefCell::new(Vec::new());
        let seen = |rows: &[Summary], complete: bool| {
            let curves =
                rows.iter().filter(|row| row.content.as_ref().is_ok_and(|c| !c.digest.curve.is_empty())).count();
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
        // A file with a digest has all that is shown in its first bytes.
        let folder = tempfile::tempdir().unwrap();
        let text = crate::preset::pretty(&session).unwrap();
        let weights = text.find("checkpoint").unwrap();
        fs::write(folder.path().join("cut.ron"), &text[..weights]).unwrap();
        let rows = crate::session::list(folder.path());
        let content = rows[0].content.as_ref().unwrap();
        assert_eq!((Some(&content.digest), content.digest.step), (session.digest.as_ref(), 1));
        assert_eq!(content.digest.eval_loss, experiment.history.latest.map(|latest| latest.eval_loss));
    }
}
