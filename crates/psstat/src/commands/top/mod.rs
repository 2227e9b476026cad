//! `psstat top`: groups live, in a terminal.
//!
//! Two threads share the work. One takes samples and one answers keys, so that keys are answered however long a
//! sample takes.
//!
//! | file | what it owns |
//! |---|---|
//! | `keys` | keys, from the bytes of a terminal |
//! | `units` | quantities as short texts |
//! | `history` | the last values of a quantity |
//! | `groups` | the groups: sorted, filtered, with their history |
//! | `scroll` | the place in a long list |
//! | `tree` | the processes of one group |
//! | `model` | what is shown, and how keys and samples change it |
//! | `view` | draws the model |
//! | `terminal` | the terminal: prepared, restored |
//! | `backend` | writes what has changed on the screen |
//! | `events` | waits for keys, signals and samples |
//! | `sampler` | takes the samples |
//!
//! All above `terminal` is pure.

mod backend;
mod events;
mod groups;
mod history;
mod keys;
mod model;
mod sampler;
mod scroll;
mod terminal;
mod tree;
mod units;
mod view;

use crate::error::{Error, TerminalError};
use crate::job::{Job, Watched};
use backend::Screen;
use events::Events;
use keys::{Key, Keys};
use model::{Model, Request};
use psstat_core::model::label::Label;
use ratatui_core::terminal::Terminal as Canvas;
use sampler::{News, Order, Outlet, Taken};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};
use terminal::Terminal;

/// What follows an escape character within this time belongs to it.
const ESCAPE_TIME: Duration = Duration::from_millis(50);

/// A sample is overdue if it comes later than this after its time.
const TOLERANCE: Duration = Duration::from_secs(2);

/// Shows the groups until the user or a signal ends it.
///
/// # Errors
/// If standard output is no terminal that can be drawn on, or no sample can be taken.
pub fn run(watched: Watched) -> Result<(), Error> {
    let abilities = terminal::abilities(|name| std::env::var_os(name))?;
    let terminal = Terminal::open()?;
    let events = Events::install(terminal.tty())?;
    let Watched { job, order, title, skips_empty } = watched;
    let interval = job.interval.unwrap_or(DEFAULT_INTERVAL);
    let model = Model::new(title, interval, order, skips_empty);
    let screen = Screen::new(terminal.tty(), abilities, events.end());
    let canvas = Canvas::new(screen).map_err(gone)?;
    let (orders, news) = start(Job { interval: Some(interval), ..job }, &events)?;
    terminal::restore_on_panic();
    terminal.enter()?;
    let program = Program {
        model,
        keys: Keys::default(),
        events,
        terminal,
        canvas,
        orders,
        news,
        last: Instant::now(),
        looked_at: None,
    };
    program.run()
}

/// The time between two samples, if nobody says another.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(2);

/// Starts the sampler.
fn start(job: Job, events: &Events) -> Result<(Sender<Order>, Receiver<News>), Error> {
    let (orders, to_do) = mpsc::channel();
    let (outlet, news) = mpsc::channel();
    let outlet = Outlet { news: outlet, wake: events.waker()? };
    let sampler = std::thread::Builder::new().name("sampler".to_owned());
    sampler.spawn(move || sampler::run(job, to_do, outlet)).map_err(Error::Thread)?;
    Ok((orders, news))
}

/// The thread that answers keys.
struct Program {
    model: Model,
    keys: Keys,
    events: Events,
    terminal: Terminal,
    canvas: Canvas<Screen>,
    orders: Sender<Order>,
    news: Receiver<News>,
    /// When the last sample came.
    last: Instant,
    /// The group whose processes the sampler tells.
    looked_at: Option<Label>,
}

impl Program {
    fn run(mut self) -> Result<(), Error> {
        loop {
            // A terminal that has gone, or takes nothing after a signal to end, is no error.
            if self.canvas.draw(|frame| view::draw(&mut self.model, frame.buffer_mut())).is_err() {
                return Ok(());
            }
            let happened = self.events.wait(self.patience());
            if happened.end {
                return Ok(());
            }
            let mut keys = self.keys.feed(&happened.bytes);
            if happened.bytes.is_empty() {
                keys.extend(self.keys.finish());
            }
            if happened.resumed {
                self.resume()?;
            }
            if happened.suspend {
                self.suspend()?;
            }
            for key in keys {
                if self.answer(key)? {
                    return Ok(());
                }
            }
            self.hear()?;
            self.look();
        }
    }

    /// How long nothing needs to be done unless something happens.
    fn patience(&self) -> Option<Duration> {
        if self.keys.is_waiting() {
            return Some(ESCAPE_TIME);
        }
        if self.model.is_paused {
            return None;
        }
        let left = (self.model.interval + TOLERANCE).saturating_sub(self.last.elapsed());
        Some(left.max(Duration::from_secs(1)))
    }

    /// Does what a key means. Returns whether the program is to end.
    fn answer(&mut self, key: Key) -> Result<bool, Error> {
        match self.model.key(key) {
            None => {}
            Some(Request::Quit) => return Ok(true),
            Some(Request::Suspend) => self.suspend()?,
            Some(Request::Redraw) => self.canvas.clear().map_err(gone)?,
            Some(Request::Schedule) => {
                let interval = (!self.model.is_paused).then_some(self.model.interval);
                self.order(Order::Schedule(interval));
                self.last = Instant::now();
            }
        }
        Ok(false)
    }

    /// Takes what the sampler has sent.
    fn hear(&mut self) -> Result<(), Error> {
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Taken(Taken { values, own, warnings }) => {
                    self.last = Instant::now();
                    self.model.sample(values, own, warnings);
                }
                News::Processes(label, rows, notes) => {
                    if let Some(tree) = self.model.tree.as_mut().filter(|tree| tree.label == label)
                    {
                        tree.update(rows, notes);
                    }
                }
                // Nothing has ever been shown, so the reason is told where it stays.
                News::Failed(error) if !self.model.has_values => return Err(error),
                News::Failed(error) => {
                    self.last = Instant::now();
                    self.model.fail(error.to_string());
                }
            }
        }
        let since = self.last.elapsed();
        self.model.overdue = (since > self.model.interval + TOLERANCE).then_some(since);
        Ok(())
    }

    /// Tells the sampler which group's processes are shown.
    fn look(&mut self) {
        let shown = self.model.tree.as_ref().map(|tree| &tree.label);
        if shown != self.looked_at.as_ref() {
            self.looked_at = shown.cloned();
            self.order(Order::Look(self.looked_at.clone()));
        }
    }

    fn order(&self, order: Order) {
        // The sampler listens as long as the program runs.
        let _ = self.orders.send(order);
    }

    /// Gives the terminal back to the shell until SIGCONT.
    fn suspend(&mut self) -> Result<(), Error> {
        terminal::leave();
        let own = rustix::process::getpid();
        // A process may always stop itself.
        let _ = rustix::process::kill_process(own, rustix::process::Signal::STOP);
        self.resume()
    }

    /// Takes the terminal again.
    fn resume(&mut self) -> Result<(), Error> {
        self.terminal.enter()?;
        self.canvas.clear().map_err(gone)
    }
}

/// A terminal that cannot be written.
fn gone(error: std::io::Error) -> Error {
    TerminalError::Use(error).into()
}
