//! Curves as a table with the columns of a sweep's `curves.csv`.

use anyhow::Result;

use crate::session::Session;
use crate::sweep;

/// One row for each bucket of steps of each curve: `preset,seed,curve,step,min,mean,max`. The curve `seconds` is the
/// wall-clock time of training.
pub fn curves(session: &Session) -> Result<String> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["preset", "seed", "curve", "step", "min", "mean", "max"])?;
    let seed = session.checkpoint.seed.to_string();
    let mut curves = sweep::curves(&session.history);
    if let Some(curves) = curves.as_object_mut().filter(|_| !session.time.curve().is_empty()) {
        curves.insert("seconds".to_owned(), sweep::buckets(session.time.curve()));
    }
    for row in sweep::curve_rows(&curves) {
        table.write_record([session.name.clone(), seed.clone()].into_iter().chain(row))?;
    }
    Ok(String::from_utf8(table.into_inner()?)?)
}
