//! Weights and curves for NumPy: a ZIP archive of `.npy` files, as `numpy.savez` writes them.
//!
//! `weights/NAME` is a parameter, rows × columns. `curves/NAME/step` holds the first step of each bucket, `…/min`,
//! `…/mean` and `…/max` its values. The curve `seconds` is the wall-clock time of training.

use std::io::{Cursor, Write};

use anyhow::Result;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::session::Session;

/// Bytes that the header of an array is padded to a multiple of.
const ALIGN: usize = 64;
/// Bytes before the text of the header: magic, version, length.
const PREAMBLE: usize = 10;

/// The archive. The same session always gives the same bytes.
pub fn archive(session: &Session) -> Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut add = |name: String, array: Vec<u8>| -> Result<()> {
        zip.start_file(name + ".npy", options)?;
        Ok(zip.write_all(&array)?)
    };
    for parameter in &session.checkpoint.parameters {
        let (rows, columns) = parameter.shape;
        add(format!("weights/{}", parameter.name), floats(&format!("({rows}, {columns})"), &parameter.values))?;
    }
    let seconds = Some(("seconds", session.time.curve())).filter(|(_, series)| !series.is_empty());
    for (name, series) in session.history.named().chain(seconds) {
        let buckets = series.buckets();
        let shape = format!("({},)", buckets.len());
        let steps: Vec<u8> = buckets.iter().flat_map(|bucket| bucket.step.to_le_bytes()).collect();
        add(format!("curves/{name}/step"), array("<u8", &shape, &steps))?;
        let column = |pick: fn(&crate::series::Bucket) -> f32| buckets.iter().map(pick).collect::<Vec<f32>>();
        add(format!("curves/{name}/min"), floats(&shape, &column(|bucket| bucket.min)))?;
        add(format!("curves/{name}/mean"), floats(&shape, &column(|bucket| bucket.mean)))?;
        add(format!("curves/{name}/max"), floats(&shape, &column(|bucket| bucket.max)))?;
    }
    Ok(zip.finish()?.into_inner())
}

fn floats(shape: &str, values: &[f32]) -> Vec<u8> {
    array("<f4", shape, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

/// An array in the NPY format, version 1.0 (NumPy Enhancement Proposal 1), row-major.
fn array(element: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{element}', 'fortran_order': False, 'shape': {shape}, }}");
    let length = (PREAMBLE + header.len() + 1).next_multiple_of(ALIGN) - PREAMBLE;
    header += &" ".repeat(length - header.len() - 1);
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes(), bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_has_the_header_of_the_format() {
        let bytes = floats("(2, 1)", &[1.0, -2.0]);
        assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00");
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((PREAMBLE + length) % ALIGN, 0);
        let header = std::str::from_utf8(&bytes[PREAMBLE..PREAMBLE + length]).unwrap();
        assert!(header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }  "), "{header}");
        assert!(header.ends_with(" \n"));
        assert_eq!(bytes[PREAMBLE + length..], [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    }
}
