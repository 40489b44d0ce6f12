//! A report on one page that needs no network: charts, tables, claims, and what it was made with.

mod page;
mod run;
mod sweep;

pub use page::escaped;
pub use run::report as run;
pub use sweep::report as sweep;
