//! How a run is saved from the lab.

use std::path::Path;

use anyhow::Result;

use super::RunLoop;
use crate::session::{self, Session, SessionFile};
use crate::worker::Note;

impl RunLoop<'_> {
    /// Saves the run to its file, or to a new one in this folder; where that fails, to the folder for temporary files.
    pub(super) fn save(&mut self, folder: &Path) {
        self.settle();
        let saved = Session::of(&self.experiment).and_then(|session| {
            let Err(error) = save_in(&mut self.file, &session, |stem| SessionFile::new_in(folder, stem)) else {
                return Ok(self.file.iter().map(|file| Note::Saved(file.path().to_owned())).collect());
            };
            let why = format!("{error:#}");
            save_in(&mut self.elsewhere, &session, |_| SessionFile::elsewhere(&session.name, session.checkpoint.seed))
                .map_err(|_| error)?;
            let note = |file: &SessionFile| Note::SavedElsewhere { path: file.path().to_owned(), why };
            Ok(self.elsewhere.as_ref().map(note).into_iter().collect::<Vec<_>>())
        });
        match saved {
            Ok(notes) => {
                self.saved_step = Some(self.experiment.step());
                self.pending.notes.extend(notes);
            }
            Err(error) => self.pending.notes.push(Note::SaveFailed(format!("{error:#}"))),
        }
    }
}

/// Saves a session to a file; makes the file first where there is none.
fn save_in(
    file: &mut Option<SessionFile>,
    session: &Session,
    new: impl FnOnce(&str) -> Result<SessionFile>,
) -> Result<()> {
    let mut chosen = match file.take() {
        Some(chosen) => chosen,
        None => new(&session::stem(&session.name, session.checkpoint.seed))?,
    };
    let saved = chosen.save(session);
    *file = Some(chosen);
    saved
}
