//! Rules that the interpreter's own vectors do not reach.
