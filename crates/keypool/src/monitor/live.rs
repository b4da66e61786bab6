//! The loop: looks in the background, draws, listens to the keyboard.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, TryRecvError, channel},
    },
    time::Duration,
};

use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};
use tokio::runtime::Handle;
use tower_keypool::{Clock, Tick};

use super::{Course, Picture, Shown, Source, draw};

/// How long the keyboard is listened to between two drawings.
const FRAME: Duration = Duration::from_millis(250);

/// The whole screen, given back when this is dropped: at the end, and when something panics (ratatui's hook gives it back
/// before the panic is told, so that its text can be read).
#[derive(Debug)]
pub struct Terminal(DefaultTerminal);

impl Terminal {
    /// Takes the screen.
    ///
    /// # Errors
    /// When there is no terminal.
    pub fn take() -> io::Result<Self> {
        ratatui::try_init().map(Self)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// A live view.
#[derive(Debug)]
pub struct Live {
    picture: Option<(Picture, Tick)>,
    fault: Option<String>,
    course: Course,
    clock: Clock,
    scrolled: usize,
    interval: Duration,
}

type Looked = Result<Picture, String>;

impl Live {
    /// One that looks every `interval`.
    pub fn new(interval: Duration) -> Self {
        Self { picture: None, fault: None, course: Course::default(), clock: Clock::system(), scrolled: 0, interval }
    }

    /// Shows it until somebody ends it, or `stopped` says so.
    ///
    /// # Errors
    /// When the terminal does not play along.
    pub fn run(mut self, source: Source, runtime: &Handle, stopped: &Arc<AtomicBool>) -> io::Result<()> {
        let (tell, told) = channel::<Looked>();
        let interval = self.interval;
        let looking = runtime.spawn(async move {
            let mut round = tokio::time::interval(interval);
            round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                round.tick().await;
                if tell.send(source.look().await.map_err(|error| format!("{error:#}"))).is_err() {
                    return;
                }
            }
        });
        let shown = Terminal::take().and_then(|mut terminal| self.show(&mut terminal, &told, stopped));
        looking.abort();
        shown
    }

    fn show(&mut self, terminal: &mut Terminal, told: &Receiver<Looked>, stopped: &AtomicBool) -> io::Result<()> {
        while !stopped.load(Ordering::Relaxed) {
            self.hear(told);
            let now = self.clock.tick();
            let shown = Shown {
                picture: self.picture.as_ref().map(|(picture, _)| picture),
                course: &self.course,
                age: self.picture.as_ref().map_or(Duration::ZERO, |(_, at)| now.since(*at)),
                fault: self.fault.as_deref(),
                scrolled: self.scrolled,
                interval: self.interval,
            };
            terminal.0.draw(|frame| draw(frame, &shown))?;
            if event::poll(FRAME)? && self.ends(&event::read()?) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn hear(&mut self, told: &Receiver<Looked>) {
        loop {
            match told.try_recv() {
                Ok(Ok(picture)) => {
                    let now = self.clock.tick();
                    let since = self.picture.as_ref().map_or(Duration::ZERO, |(_, at)| now.since(*at));
                    self.course.note(&picture, since);
                    (self.picture, self.fault) = (Some((picture, now)), None);
                }
                Ok(Err(fault)) => self.fault = Some(fault),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    /// Whether somebody ended it. A new size of the screen is drawn for as it comes.
    fn ends(&mut self, event: &Event) -> bool {
        let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press | KeyEventKind::Repeat, .. }) = event
        else {
            return false;
        };
        let keys = self.picture.as_ref().map_or(0, |(picture, _)| picture.keys.len());
        match code {
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => return true,
            KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Up | KeyCode::Char('k') => self.scrolled = self.scrolled.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.scrolled = (self.scrolled + 1).min(keys.saturating_sub(1)),
            KeyCode::PageUp => self.scrolled = self.scrolled.saturating_sub(10),
            KeyCode::PageDown => self.scrolled = (self.scrolled + 10).min(keys.saturating_sub(1)),
            KeyCode::Home => self.scrolled = 0,
            _ => {}
        }
        false
    }
}
