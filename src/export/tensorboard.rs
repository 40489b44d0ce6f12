//! Curves as an event file for TensorBoard: records in the framing of TFRecord, each one a protocol buffer `Event`.
//!
//! Of the format only what a scalar needs is written: `Event { wall_time = 1, step = 2, file_version = 3, summary = 5
//! }`, `Summary { value = 1 }`, `Value { tag = 1, simple_value = 2 }`.

use crc::{CRC_32_ISCSI, Crc};

use crate::train::History;

/// The name of the file. TensorBoard finds it by its beginning.
pub const FILE: &str = "events.out.tfevents.innerloop";
/// CRC-32C.
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// What TFRecord adds to a rotated checksum.
const MASK: u32 = 0xa282_ead8;

/// The event file of a run's curves: the mean of each bucket at its first step. `wall_time` is in seconds since 1970.
pub fn events(history: &History, wall_time: f64) -> Vec<u8> {
    let head = [double(1, wall_time), bytes(3, b"brain.Event:2")].concat();
    let mut file = record(&head);
    for (name, series) in history.named() {
        for bucket in series.buckets() {
            let value = [bytes(1, name.as_bytes()), float(2, bucket.mean)].concat();
            let summary = bytes(1, &value);
            file.extend(record(&[double(1, wall_time), integer(2, bucket.step), bytes(5, &summary)].concat()));
        }
    }
    file
}

/// Length and content, each with its masked checksum.
fn record(content: &[u8]) -> Vec<u8> {
    let masked = |bytes: &[u8]| CRC.checksum(bytes).rotate_right(15).wrapping_add(MASK).to_le_bytes();
    let length = (content.len() as u64).to_le_bytes();
    [length.as_slice(), &masked(&length), content, &masked(content)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn integer(field: u8, value: u64) -> Vec<u8> {
    [vec![field << 3], varint(value)].concat()
}

fn double(field: u8, value: f64) -> Vec<u8> {
    [[field << 3 | 1].as_slice(), &value.to_le_bytes()].concat()
}

fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    [vec![field << 3 | 2], varint(value.len() as u64), value.to_vec()].concat()
}

fn float(field: u8, value: f32) -> Vec<u8> {
    [[field << 3 | 5].as_slice(), &value.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_and_numbers_are_those_of_the_formats() {
        // The check value of CRC-32C, and the example of the protocol buffer documentation.
        assert_eq!(CRC.checksum(b"123456789"), 0xe306_9283);
        assert_eq!(integer(1, 150), [0x08, 0x96, 0x01]);
        assert_eq!(bytes(2, b"testing"), b"\x12\x07testing");
        let record = record(b"abc");
        assert_eq!((record.len(), &record[..8]), (8 + 4 + 3 + 4, &[3, 0, 0, 0, 0, 0, 0, 0][..]));
    }
}
