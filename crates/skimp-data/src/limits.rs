//! How much memory reading may take: shares of the process's budget ([`skimp_memory::budget`]).
//!
//! Whatever a header claims is compared with them before anything is allocated for it.

use std::path::Path;

use skimp_memory::Size;

use crate::DataError;

/// What one of `n_threads` threads may take to decode an image, of a budget of `budget` bytes: half of it is left for
/// what is read already.
fn image_share(budget: u64, n_threads: usize) -> u64 {
    budget / 2 / n_threads.max(1) as u64
}

/// Bytes that one image may take while it is decoded.
pub(crate) fn image_bytes() -> u64 {
    image_share(skimp_memory::budget().0, rayon::current_num_threads())
}

/// Checks that the decoding of the image in `path` fits its share.
///
/// # Errors
/// [`DataError::ImageTooLarge`].
pub(crate) fn check_image(path: &Path, [height, width]: [u64; 2], bytes: u64) -> Result<(), DataError> {
    let limit = image_bytes();
    if bytes <= limit {
        return Ok(());
    }
    let n_threads = rayon::current_num_threads();
    let (bytes, limit) = (Size(bytes), Size(limit));
    Err(DataError::ImageTooLarge { path: path.to_path_buf(), height, width, bytes, limit, n_threads })
}

/// Checks that `bytes` of `path` may be held in memory.
///
/// # Errors
/// [`DataError::Memory`].
pub(crate) fn check_file(path: &Path, bytes: u64) -> Result<(), DataError> {
    Ok(skimp_memory::check(bytes, || format!("the content of {}", path.display()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_the_budget() {
        assert_eq!(image_share(8 << 30, 1), 4 << 30);
        assert_eq!(image_share(8 << 30, 16), 256 << 20);
        assert!(image_share(8 << 30, 0) > 0);
    }
}
