//! Watching in a terminal: one page, drawn anew when something has changed.

use std::io::{BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::Print;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, queue};
use epsiloscope_terminal::{Look, Portrait, draw, text};
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::observe::Seen;
use super::{End, WatchArgs};
use crate::screen::{shown, size};
use crate::show::Words;

/// Between two looks at the keyboard and at the terminal's size.
const TICK: Duration = Duration::from_millis(100);

/// The terminal while it is ours. Whatever ends that gives it back, panics included.
struct Screen<W: Write>(W);

impl<W: Write> Screen<W> {
    fn open(out: W) -> std::io::Result<Self> {
        let mut screen = Self(out);
        execute!(screen.0, EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// Puts lines on the screen, each over what stood there.
    fn show(&mut self, lines: &str) -> std::io::Result<()> {
        queue!(self.0, BeginSynchronizedUpdate)?;
        for (row, line) in (0..).zip(lines.lines()) {
            queue!(self.0, MoveTo(0, row), Print(line), Clear(ClearType::UntilNewLine))?;
        }
        execute!(self.0, EndSynchronizedUpdate)
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to give back.
        let _ = execute!(self.0, Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

/// Draws what is seen until the run is over, or who watches has seen enough; a picture of the run's end stays.
pub(super) fn follow(args: &WatchArgs, all: &Receiver<Seen>) -> anyhow::Result<End> {
    let look = args.looking.screen.look();
    let end = followed(args, all, look)?;
    if let End::Over(seen) = &end {
        let (width, height) = size();
        let area = Rect::new(0, 0, width, height.saturating_sub(1).max(1));
        write!(std::io::stdout().lock(), "{}", drawn(&Page::of(args, seen, look, false), look, area))?;
    }
    Ok(end)
}

fn followed(args: &WatchArgs, all: &Receiver<Seen>, look: Look) -> anyhow::Result<End> {
    let signal = caught_signal()?;
    enable_raw_mode().context("the terminal cannot be drawn on")?;
    let mut screen = Screen::open(std::io::stdout())?;
    let keys = keys();
    let (mut page, mut drawn_at) = (None, (0, 0));
    loop {
        match all.try_recv() {
            Ok(seen) if seen.is_over() => return Ok(End::Over(seen)),
            Ok(seen) => {
                page = Some(Page::of(args, &seen, look, true));
                drawn_at = (0, 0);
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => {
                return Err(anyhow!("{}: nothing looks at it any more", args.run.display()));
            }
        }
        if let Some(page) = page.as_ref().filter(|_| drawn_at != size()) {
            drawn_at = size();
            screen.show(&drawn(page, look, Rect::new(0, 0, drawn_at.0, drawn_at.1)))?;
        }
        match signal.load(Ordering::Relaxed) {
            0 => {}
            signal => return Ok(End::Signal(signal as i32)),
        }
        match keys.recv_timeout(TICK) {
            Ok(key) if is_leave(key) => return Ok(End::Left),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            // Nobody can type anything.
            Err(RecvTimeoutError::Disconnected) => thread::sleep(TICK),
        }
    }
}

/// Keys as they are typed, a byte at a time; none where there is no terminal to type at.
fn keys() -> Receiver<u8> {
    let (sender, receiver) = channel();
    if let Ok(terminal) = fs_err::File::open("/dev/tty") {
        thread::spawn(move || {
            for key in BufReader::new(terminal).bytes().map_while(Result::ok) {
                if sender.send(key).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

/// `q` or Ctrl-C, which a terminal in raw mode sends as a letter.
fn is_leave(key: u8) -> bool {
    const CTRL_C: u8 = 3;
    matches!(key, b'q' | b'Q' | CTRL_C)
}

/// The number of a signal that asks the process to end, once there is one.
fn caught_signal() -> anyhow::Result<Arc<AtomicUsize>> {
    let caught = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_usize(signal, Arc::clone(&caught), signal as usize)?;
    }
    Ok(caught)
}

/// What is on the page.
struct Page {
    seen: Seen,
    words: Option<Words>,
    /// Where nothing of the run can be drawn yet.
    title: String,
    status: Vec<String>,
}

impl Page {
    fn of(args: &WatchArgs, seen: &Seen, look: Look, is_live: bool) -> Self {
        let run = epsiloscope_format::escaped(&args.run.display().to_string());
        let mut status = vec![seen.state.in_words().to_owned()];
        status.extend(seen.progress.as_ref().map(|progress| progress.line()));
        let faults = seen.faults();
        status.push(if faults.is_empty() { "no fault".to_owned() } else { faults.join("; ") });
        if is_live {
            status[0].push_str("    (q ends watching)");
        }
        let progress = seen.progress.as_ref();
        let words = progress.and_then(|progress| Some(Words::of(&progress.run, progress.glance.as_ref().ok()?, look)));
        Self {
            seen: seen.clone(),
            words,
            title: shown(&run, look),
            status: status.iter().map(|line| shown(line, look)).collect(),
        }
    }
}

fn drawn(page: &Page, look: Look, area: Rect) -> String {
    let mut buffer = Buffer::empty(area);
    let glance = page.seen.progress.as_ref().and_then(|progress| progress.glance.as_ref().ok());
    let nothing = Portrait { title: &page.title, status: &page.status, heat_map: None, histogram: None, verdict: "" };
    let portrait = match (&page.words, glance) {
        (Some(words), Some(glance)) => words.portrait(glance, &page.status),
        _ => nothing,
    };
    draw(&portrait, area, look, &mut buffer);
    text(&buffer)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;

    use super::*;

    /// What was written, for as long as someone looks.
    struct Kept<'a>(&'a Mutex<Vec<u8>>);

    impl Write for Kept<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_gives_the_terminal_back() {
        let written = Mutex::new(Vec::new());
        let outcome = crate::runs::without_panic_messages(|| {
            catch_unwind(AssertUnwindSafe(|| {
                let _screen = Screen::open(Kept(&written)).unwrap();
                panic!("while drawing");
            }))
        });
        assert!(outcome.is_err());
        let text = String::from_utf8(written.into_inner().unwrap()).unwrap();
        // Cursor shown, alternate screen left.
        assert!(text.ends_with("\u{1b}[?25h\u{1b}[?1049l"), "{text:?}");
    }
}
