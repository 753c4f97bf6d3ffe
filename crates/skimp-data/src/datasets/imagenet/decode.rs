//! From an image file to planes of RGB.

use std::borrow::Cow;
use std::io::Cursor;
use std::path::Path;

use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::{DataError, Image, Samples, files, limits};

/// No side is longer; a damaged header should be an error, not an allocation failure.
const MAX_SIDE: u32 = 1 << 16;

/// Decodes a file to RGB planes: gray becomes three equal planes, transparency is dropped, 16 bits become 8. The content
/// decides the format, not the name.
///
/// # Errors
/// A file that is no picture, that ends early, or whose decoding takes more than a thread's share of memory.
pub(super) fn decode(path: &Path) -> Result<Image<'static>, DataError> {
    let bytes = files::read(path)?;
    let undecodable = |source| DataError::UndecodableImage { path: path.to_path_buf(), source };
    let mut reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(DataError::io(path))?;
    let format = reader.format();
    if let Some(cause) = format.and_then(|format| cut_short(&bytes, format)) {
        return Err(DataError::invalid(path, format!("the file is truncated: {cause}")));
    }
    let mut bounds = Limits::default();
    bounds.max_image_width = Some(MAX_SIDE);
    bounds.max_image_height = Some(MAX_SIDE);
    bounds.max_alloc = Some(limits::image_bytes());
    reader.limits(bounds);
    let decoder = reader.into_decoder().map_err(undecodable)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (u64::from(width), u64::from(height));
    if width == 0 || height == 0 {
        return Err(DataError::invalid(path, format!("image extents {height}x{width} must not be 0")));
    }
    // The decoded pixels, three planes, and what lies between: a copy as RGB, or a progressive JPEG's coefficients.
    let between = match (format, decoder.color_type()) {
        (Some(ImageFormat::Jpeg), _) => 6,
        (_, ColorType::Rgb8 | ColorType::L8) => 0,
        _ => 3,
    };
    limits::check_image(path, [height, width], decoder.total_bytes() + (3 + between) * width * height)?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    Ok(to_planes(decoded, width as usize, height as usize))
}

fn to_planes(decoded: DynamicImage, width: usize, height: usize) -> Image<'static> {
    let len = height * width;
    let planes = match decoded {
        DynamicImage::ImageLuma8(gray) => gray.as_raw().repeat(3),
        color => {
            let rgb = color.into_rgb8();
            let mut planes = vec![0; 3 * len];
            let (red, rest) = planes.split_at_mut(len);
            let (green, blue) = rest.split_at_mut(len);
            for (index, pixel) in rgb.as_raw().chunks_exact(3).enumerate() {
                red[index] = pixel[0];
                green[index] = pixel[1];
                blue[index] = pixel[2];
            }
            planes
        }
    };
    Image { channels: 3, height, width, samples: Samples::U8(Cow::Owned(planes)) }
}

/// Why the file is not whole, if it is not. Decoders fill in what is missing, each in its own way.
fn cut_short(bytes: &[u8], format: ImageFormat) -> Option<String> {
    let n = bytes.len();
    match format {
        ImageFormat::Jpeg => (!jpeg_ends(bytes)).then(|| format!("{n} bytes of a JPEG without its end marker")),
        ImageFormat::Png => (!png_ends(bytes)).then(|| format!("{n} bytes of a PNG without its last chunk")),
        ImageFormat::WebP => {
            let size = bytes.get(4..8)?;
            let expected = u64::from(u32::from_le_bytes([size[0], size[1], size[2], size[3]])) + 8;
            ((n as u64) < expected).then(|| format!("expected {expected} bytes, found {n}"))
        }
        ImageFormat::Bmp => {
            let header = bytes.get(2..54)?;
            let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            let (offset, width, height) = (u64::from(word(8)), word(16) as i32, word(20) as i32);
            let (bits, compression) = (u64::from(u16::from_le_bytes([header[26], header[27]])), word(28));
            let row = (u64::from(width.unsigned_abs()) * bits).div_ceil(32) * 4;
            let expected = offset.saturating_add(row.saturating_mul(u64::from(height.unsigned_abs())));
            // 1 and 2 are run-length codes of any length.
            let fixed = word(12) >= 40 && !matches!(compression, 1 | 2);
            (fixed && (n as u64) < expected).then(|| format!("expected {expected} bytes, found {n}"))
        }
        _ => None,
    }
}

/// Whether the segments of a JPEG lead to its end marker.
///
/// Source: ISO/IEC 10918-1 (ITU-T T.81), annex B: a marker is 0xFF and a code; most are followed by the length of their
/// segment; after a start of scan come coded data, in which 0xFF is followed by 0 or a restart marker.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // To the next marker, over coded data or padding.
        let Some(step) = bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xFF)) else {
            return false;
        };
        at += step + 1;
        match bytes.get(at) {
            None => return false,
            Some(0xD9) => return true,
            Some(0xFF) => {}
            Some(0 | 1 | 0xD0..=0xD8) => at += 1,
            Some(_) => {
                let Some(length) = bytes.get(at + 1..at + 3) else { return false };
                at += 1 + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
            }
        }
    }
}

/// Whether the chunks of a PNG lead to the last one.
fn png_ends(bytes: &[u8]) -> bool {
    let mut at = 8usize;
    while let Some(start) = bytes.get(at..at.saturating_add(8)) {
        let length = u32::from_be_bytes([start[0], start[1], start[2], start[3]]) as usize;
        if start[4..8] == *b"IEND" {
            return bytes.len() >= at.saturating_add(length).saturating_add(12);
        }
        at = at.saturating_add(length).saturating_add(12);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jpeg_ends_with_its_own_end_marker() {
        // A thumbnail's end marker within a segment is not the end; stuffed zeros, restarts and padding are no markers.
        let whole = [
            0xFF, 0xD8, 0xFF, 0xE1, 0, 6, 0xFF, 0xD8, 0xFF, 0xD9, 0xFF, 0xDA, 0, 2, 1, 0xFF, 0, 2, 0xFF, 0xD3, 7, 0xFF,
            0xFF, 0xD9, 9, 9,
        ];
        assert!(jpeg_ends(&whole));
        assert!((2..24).all(|len| !jpeg_ends(&whole[..len])));
    }
}
