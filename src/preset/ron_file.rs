//! RON in and out, with errors for people.
use anyhow::Result;
use serde::{Serialize, de::DeserializeOwned};
use std::path::Path;

/// Parses RON; an error says where and what is allowed.
pub fn parse<T: DeserializeOwned>(_name: &str, text: &str) -> Result<T> {
    use ron::extensions::Extensions as E;
    Ok(ron::Options::default().with_default_extension(E::UNWRAP_VARIANT_NEWTYPES | E::IMPLICIT_SOME).from_str(text)?)
}
pub fn pretty<T: Serialize>(_value: &T) -> Result<String> {
    todo!()
}
pub fn read_bounded(_path: &Path) -> Result<String> {
    todo!()
}
