//! What goes to stderr: progress bars (on a terminal only), notes and errors; and Ctrl-C.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use skimp::Monitor;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C end the run between two steps, so that no file is left half-written; a second one ends it at once, as does the
/// first while the run waits for an input that may never come.
pub(crate) fn watch_interrupts() {
    // Without a handler the system's own stands: the run ends at once, which is safe too.
    let _ = ctrlc::set_handler(|| {
        // A named pipe or a terminal may never answer, and nothing is being written while the run waits for it.
        if INTERRUPTED.swap(true, Ordering::SeqCst) || skimp::is_waiting() {
            #[allow(clippy::exit, reason = "the user asked twice, or nothing would notice that he asked")]
            std::process::exit(130);
        }
        warn("stopping; press Ctrl-C again to stop at once");
    });
}

/// Lines on stderr, safe to print. A closed stderr is nobody's concern.
fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable(text));
}

/// A text without the power to move the cursor, to color or to reorder what a terminal shows, whatever a network's names
/// hold: such characters are written as `\u{1b}`. Lines and tabs stay.
fn printable(text: &str) -> String {
    let is_harmless = |c: char| match c {
        '\n' | '\t' => true,
        // Marks, embeddings, overrides and isolates of bidirectional text.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        _ => !c.is_control(),
    };
    if text.chars().all(is_harmless) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut safe, c| {
        if is_harmless(c) {
            safe.push(c);
        } else {
            safe.extend(c.escape_unicode());
        }
        safe
    })
}

/// A text of its own on stderr.
pub(crate) fn aside(text: &str) {
    warn(text.trim_end());
}

/// Prints an error and its causes.
pub(crate) fn complain(error: &anyhow::Error) {
    let message = skimp::error_text(error.as_ref());
    warn(&format!("error: {message}"));
}

/// Draws a bar per stage on a terminal; elsewhere stays silent but for notes.
#[derive(Debug)]
pub(crate) struct Bars {
    quiet: bool,
    verbose: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Bars {
    pub(crate) fn new(quiet: bool, verbose: bool) -> Self {
        Self { quiet, verbose, bar: Mutex::new(None) }
    }

    fn replace(&self, next: Option<ProgressBar>) {
        let mut bar = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(old) = bar.take() {
            old.finish_and_clear();
        }
        *bar = next;
    }
}

impl Bars {
    /// A note of the command itself.
    pub(crate) fn remark(&self, text: &str) {
        self.note(text);
    }

    /// A line above the bar, if there is one.
    fn line(&self, text: &str) {
        let bar = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &*bar {
            Some(bar) => bar.suspend(|| warn(text)),
            None => warn(text),
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.replace(None);
    }
}

impl Monitor for Bars {
    fn stage(&self, name: &str, n_steps: u64) {
        if self.quiet {
            return;
        }
        if !std::io::stderr().is_terminal() {
            if self.verbose {
                warn(name);
            }
            return;
        }
        let style =
            ProgressStyle::with_template("{msg:<28} {wide_bar:.cyan/dim} {pos}/{len} {prefix}{elapsed} (eta {eta})");
        let bar = ProgressBar::new(n_steps).with_message(printable(name));
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        self.replace(Some(bar));
    }

    fn advance(&self, n: u64) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
            bar.inc(n);
        }
    }

    fn status(&self, text: &str) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
            bar.set_prefix(format!("{}  ", printable(text)));
        }
    }

    fn milestone(&self, text: &str) {
        if !self.quiet && (self.verbose || std::io::stderr().is_terminal()) {
            self.line(text);
        }
    }

    fn note(&self, text: &str) {
        if !self.quiet {
            self.line(&format!("note: {text}"));
        }
    }

    fn interrupted(&self) -> bool {
        INTERRUPTED.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn names_have_no_power_over_the_terminal() {
        for (text, expected) in [
            ("node \"größe\"\n\tat 层", "node \"größe\"\n\tat 层"),
            ("\u{1b}[2Jgone\r", "\\u{1b}[2Jgone\\u{d}"),
            ("\u{9b}31m\u{7f}\u{0}", "\\u{9b}31m\\u{7f}\\u{0}"),
            ("a\u{202e}b\u{2066}", "a\\u{202e}b\\u{2066}"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }
}
