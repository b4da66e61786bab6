//! The demo: simulator and gateway in one process, real HTTP between them, mixed traffic, and a live table.

mod cast;
mod columns;
mod schedule;
mod summary;
mod table;
mod traffic;
mod view;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use gemini_sim::GeminiSim;
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tower_keypool::{Clock, Gemini, KeyPool, Models, Retry};

use crate::{
    gateway::{
        Door, Gateway, Setup,
        guard::Guard,
        listen::{self, Bounds},
        route::Dialects,
        tls::Tls,
        token::{PLACEHOLDER, Token},
    },
    stack,
};
use traffic::Tally;
use view::View;

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct Play {
    /// How long the traffic lasts.
    pub length: Duration,
    /// Settles the traffic and the simulator's dice.
    pub seed: u64,
    /// Lines rather than a table.
    pub plain: bool,
}

/// A request waits this long for a key, as in `serve`.
const WAIT: Duration = Duration::from_secs(5);

/// Plays the demo to its end and prints the summary.
///
/// # Errors
/// When a port of this machine cannot be had.
pub async fn play(play: &Play) -> anyhow::Result<()> {
    let sim = cast::simulator(play.seed).start().await.context("the simulator found no port on 127.0.0.1")?;
    let pool = pool(&sim)?;
    let gateway = serve(&pool).await?;
    let calls = schedule::calls(play.length, play.seed);

    let (ours, random) = (Arc::new(Tally::default()), Arc::new(Tally::default()));
    let mut view = View::new(&pool, play.plain, play.length, &gateway.url);
    // The same traffic, at the same time, to a simulator of its own.
    let rival = cast::simulator(play.seed).build();
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let traffic = async {
        tokio::join!(
            traffic::through_gateway(client, &gateway.url, PLACEHOLDER, &calls, &ours),
            traffic::with_random_keys(rival.service(), play.seed, &calls, &random),
        )
    };
    tokio::select! {
        _ = traffic => {}
        () = view.follow(&ours) => {}
    }
    view.last(&ours);
    gateway.stop().await;
    table::say(&summary::of(&ours.counts(), &random.counts(), &sim.report(), cast::PLAYERS.len()));
    Ok(())
}

/// Says that the demo was cut short.
pub fn interrupted() {
    table::say("\nended by hand\n");
}

fn pool(sim: &GeminiSim) -> anyhow::Result<KeyPool> {
    Ok(KeyPool::builder(Gemini::at(&sim.url())?).keys(cast::keys()).wait(WAIT).build()?)
}

struct Running {
    url: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn serve(pool: &KeyPool) -> anyhow::Result<Running> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("the gateway found no port on 127.0.0.1")?;
    let url = format!("http://{}", listener.local_addr()?);
    let base = pool.provider().base().clone();
    let stack = stack::stack(pool, Models::new(), Retry::new());
    let setup = Setup::new(stack, Guard::new([]), Token::new(PLACEHOLDER), Dialects::default());
    let gateway = Gateway::new(setup, base, Clock::system());
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let task = tokio::spawn(listen::serve(
        (listener, Door::Both),
        Tls::default(),
        Arc::new(gateway),
        (Duration::from_secs(1), Bounds::default()),
        shutdown,
    ));
    Ok(Running { url, stop, task })
}

impl Running {
    async fn stop(self) {
        drop(self.stop);
        let _ = self.task.await;
    }
}
