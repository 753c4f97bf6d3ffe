//! TFRecord framing: how event files hold their messages.

/// One record: length, masked checksum of the length, data, masked checksum of the data; numbers little-endian.
///
/// # Source
/// TensorFlow, tensorflow/core/lib/io/record_writer.h: the masks and the order of the fields.
pub(super) fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(data.len() + 16);
    record.extend(length);
    record.extend(masked(crc32c(&length)).to_le_bytes());
    record.extend(data);
    record.extend(masked(crc32c(data)).to_le_bytes());
    record
}

fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// CRC-32C (Castagnoli), bit-reflected, polynomial 0x1EDC6F41.
///
/// # Source
/// RFC 3720 (iSCSI), section 12.1.
pub(super) fn crc32c(data: &[u8]) -> u32 {
    let rest = data.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 })
    });
    !rest
}
