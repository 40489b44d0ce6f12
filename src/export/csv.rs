//! Curves as a table with the columns of a sweep's `curves.csv`.

use anyhow::Result;

use crate::session::Session;
use crate::sweep;

/// One row for each bucket of steps of each curve: `preset,seed,curve,step,min,mean,max`.
pub fn curves(session: &Session) -> Result<String> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["preset", "seed", "curve", "step", "min", "mean", "max"])?;
    let seed = session.checkpoint.seed.to_string();
    for row in sweep::curve_rows(&sweep::curves(&session.history, &session.time)) {
        table.write_record([session.name.clone(), seed.clone()].into_iter().chain(row))?;
    }
    Ok(String::from_utf8(table.into_inner()?)?)
}
