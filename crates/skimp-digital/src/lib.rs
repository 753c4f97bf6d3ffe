//! Digital accelerator models, one file each.
