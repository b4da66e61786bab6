//! What is typed and not shown.

use std::io::ErrorKind;

use anyhow::anyhow;

use super::{Failure, STOPPED};

/// Who hears signals once the line is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signals {
    /// Nobody: they end the command.
    End,
    /// The command itself.
    Heard,
}

/// Asks on the terminal for a line, which is not shown. Whoever stops it there (Ctrl-C) has the terminal back as it was.
pub(super) fn ask(prompt: &str, then: Signals) -> Result<String, Failure> {
    #[cfg(unix)]
    let _typing = terminal::Typing::begin(then).map_err(Failure::run)?;
    #[cfg(not(unix))]
    let _ = then;
    rpassword::prompt_password(prompt).map_err(|error| match error.kind() {
        ErrorKind::Interrupted => Failure::with(STOPPED, anyhow!("stopped")),
        // Ctrl-D.
        ErrorKind::UnexpectedEof => {
            eprintln!();
            nothing()
        }
        _ => Failure::run(error),
    })
}

/// Nobody typed anything.
pub(super) fn nothing() -> Failure {
    Failure::config(anyhow!("nothing was typed: type or paste it and press Enter, or give it on standard input"))
}

#[cfg(unix)]
mod terminal {
    use std::{
        fs::File,
        io,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering::SeqCst},
            mpsc,
        },
        thread,
    };

    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    use tokio::signal::unix::{SignalKind, signal};

    use super::{super::STOPPED, Signals};

    /// As long as it lives a signal that ends this process puts the terminal back as it was: whoever reads without an echo
    /// does so at its end, which a signal would not let it reach.
    pub(super) struct Typing(Arc<AtomicBool>);

    impl Typing {
        pub(super) fn begin(then: Signals) -> io::Result<Self> {
            let terminal = File::open("/dev/tty")?;
            let before = tcgetattr(&terminal)?;
            let typing = Arc::new(AtomicBool::new(true));
            let (tell, listening) = mpsc::channel();
            let still = Arc::clone(&typing);
            thread::spawn(move || {
                let told = || {
                    let _ = tell.send(());
                };
                if stopped(told).is_err() {
                    return;
                }
                if still.load(SeqCst) {
                    let _ = tcsetattr(&terminal, OptionalActions::Flush, &before);
                    eprintln!();
                } else if then == Signals::Heard {
                    return;
                }
                std::process::exit(STOPPED.into());
            });
            // Where nobody can listen, it is as without.
            let _ = listening.recv();
            Ok(Self(typing))
        }
    }

    impl Drop for Typing {
        fn drop(&mut self) {
            self.0.store(false, SeqCst);
        }
    }

    fn stopped(listening: impl FnOnce()) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let mut quit = signal(SignalKind::quit())?;
            listening();
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = quit.recv() => {}
            }
            Ok(())
        })
    }
}
