//! `keypool demo`: a simulator of the provider and the gateway in one process, with real HTTP between them.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write as _},
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use crossterm::{
    cursor::MoveToPreviousLine,
    queue,
    terminal::{Clear, ClearType},
};
use gemini_sim::{Builder, Fault, GeminiSim, Latency, Project, Refusal, Report, Rule, SimService, Tier};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use super::{
    STOPPED, block_on,
    monitor::{line, totals},
    output::{Json, print, print_json, rounded_seconds, short},
    serve::EndSignals,
};
use crate::{
    app::{self, App, AppState},
    config::Inputs,
    key_row::{KeyRow, key_rows},
    proxy::upstream::{client, client_tls, http_connector, https},
    server::Server,
};

/// Run a gateway with ten keys in front of a simulated provider and compare it with random keys. Needs no key and no
/// network.
///
/// The ten keys belong to eight projects; most are limited, one is suspended and one is invalid.
#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 all requests were answered, 1 some were not, or no port is free, 2 the command line is wrong, 130 \
                        stopped."
)]
pub(super) struct Demo {
    /// How long clients send requests, in seconds
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// The seed of the random traffic and of the simulator
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    output: Json,
}

/// A key of the demo.
struct DemoKey {
    id: &'static str,
    project: &'static str,
    tier: &'static str,
    /// Requests per minute and model that its project may send.
    rpm: u64,
    rpd: Option<u64>,
    /// Whether the limits are in the gateway's configuration; otherwise the gateway learns them.
    is_configured: bool,
    refused: Option<fn() -> Refusal>,
}

const GOOD: DemoKey =
    DemoKey { id: "", project: "", tier: "free", rpm: 10, rpd: None, is_configured: true, refused: None };

const KEYS: [DemoKey; 10] = [
    DemoKey { id: "ada-1", project: "100000000001", ..GOOD },
    DemoKey { id: "ada-2", project: "100000000001", ..GOOD },
    DemoKey { id: "bob", project: "100000000002", rpm: 8, ..GOOD },
    DemoKey { id: "cleo", project: "100000000003", rpm: 15, rpd: Some(6), ..GOOD },
    DemoKey { id: "dan", project: "100000000004", rpm: 5, ..GOOD },
    DemoKey { id: "eve", project: "100000000005", refused: Some(|| Refusal::ConsumerSuspended), ..GOOD },
    DemoKey { id: "finn", project: "100000000006", refused: Some(|| Refusal::ApiKeyInvalid), ..GOOD },
    DemoKey { id: "gus", project: "100000000007", rpm: 12, ..GOOD },
    DemoKey { id: "paid-1", project: "200000000001", tier: "paid", rpm: 400, ..GOOD },
    DemoKey { id: "paid-2", project: "200000000001", tier: "paid", rpm: 400, ..GOOD },
];

impl DemoKey {
    /// Returns a fake key in the usual format.
    fn secret(&self) -> String {
        format!("AIzaSyDEMO-{:-<28}", self.id)
    }

    fn entry(&self) -> Value {
        let mut entry = json!({ "secret": self.secret(), "id": self.id, "project": self.project, "tier": self.tier });
        if self.is_configured {
            entry["rpm"] = self.rpm.into();
            entry["rpd"] = self.rpd.into();
        }
        entry
    }
}

/// Returns a simulated provider with the latency and the occasional errors of a real one.
fn simulator(seed: u64) -> Builder {
    let mut sim = GeminiSim::builder().seed(seed);
    for keys in KEYS.chunk_by(|a, b| a.project == b.project) {
        let Some(first) = keys.first() else { continue };
        let limits = gemini_sim::Limits::none().rpm(first.rpm);
        let limits = first.rpd.map_or(limits, |rpd| limits.rpd(rpd));
        let tier = if first.tier == "paid" { Tier::Tier1 } else { Tier::Free };
        let project = Project::new(first.project).tier(tier).limits(limits);
        sim = sim.project(keys.iter().fold(project, |project, demo| {
            let key = gemini_sim::Key::new(demo.secret()).label(demo.id);
            project.key(match demo.refused {
                Some(refusal) => key.refused(refusal()),
                None => key,
            })
        }));
    }
    sim.latency(Latency::Uniform(Duration::from_millis(120), Duration::from_millis(900)))
        .chunk_latency(Latency::Uniform(Duration::from_millis(20), Duration::from_millis(80)))
        .script([Rule::new(Fault::Refuse(Refusal::Internal)).probability(0.02)])
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        block_on(None, async {
            let mut signals = EndSignals::catch()?;
            tokio::select! {
                code = self.play() => code,
                () = signals.next() => Ok(ExitCode::from(STOPPED)),
            }
        })
    }

    async fn play(&self) -> anyhow::Result<ExitCode> {
        let sim = simulator(self.seed).start().await.context("the simulator cannot listen on 127.0.0.1")?;
        let app = gateway(&sim.url()).await?;
        let server = Server::bind(([127, 0, 0, 1], 0).into(), &app.loaded.load().config.gateway, None).await?;
        let url = format!("http://{}", server.address()?);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.serve(app::gateway(&app), stop.clone(), Duration::from_secs(1)));
        if !self.output.json {
            print(format_args!(
                "{} requests over ten keys in {} s; the gateway at {url} sends them to a simulator of Gemini's API",
                calls(self.seconds, self.seed).len(),
                self.seconds
            ));
        }
        let calls = calls(self.seconds, self.seed);
        let (ours, random) = (Arc::<Tally>::default(), Arc::<Tally>::default());
        let token = app.loaded.load().token.expose().to_owned();
        let client = client(https(http_connector(), &client_tls(&app.loaded.load())?));
        // Sends the same requests at the same times to a second simulator, each with a random key.
        let comparison = simulator(self.seed).build();
        let traffic = async {
            tokio::join!(
                send_all(&calls, &ours, |call| (client.clone(), call.request(&url, &token))),
                send_with_random_keys(comparison.service(), self.seed, &calls, &random),
            )
        };
        let began = Instant::now();
        let mut view = View { app: &app, tally: &ours, began, seconds: self.seconds, drawn: 0 };
        tokio::select! {
            _ = traffic => {}
            () = view.follow(self.output.json) => {}
        }
        if !self.output.json {
            view.last();
        }
        stop.cancel();
        let _ = serving.await;
        app.pools.own().pool.shutdown().await;
        let (ours, random) = (ours.counts(), random.counts());
        self.sum_up(&ours, &random, &sim.report());
        Ok(if ours.good() == ours.sent { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn sum_up(&self, ours: &Counts, random: &Counts, report: &Report) {
        let upstream = &report.total;
        let refused = upstream.rejected_as("consumer_suspended") + upstream.rejected_as("api_key_invalid");
        if self.output.json {
            print_json(&json!({
                "requests": ours.sent,
                "keypool": ours.summary(),
                "random_key": random.summary(),
                "provider": {
                    "requests": upstream.arrivals,
                    "over_limit": upstream.over_limit,
                    "refused_keys": refused,
                    "failed": upstream.rejected_as("internal"),
                },
            }));
            return;
        }
        print(format_args!(
            "\n{} requests over ten keys of eight projects\n  through keypool    {}\n  with a random key  {}\n  the provider got {} \
             requests: {} over a limit, {refused} with a bad key,\n  {} with an internal error\n  the longest response took {:.1} s",
            ours.sent,
            ours.text(),
            random.text(),
            upstream.arrivals,
            upstream.over_limit,
            upstream.rejected_as("internal"),
            ours.longest.as_secs_f64()
        ));
    }
}

/// Opens a gateway that does not use the user's configuration file, variables and database.
async fn gateway(upstream: &str) -> anyhow::Result<AppState> {
    let mut inputs = Inputs::default();
    inputs.option("demo", "store.path", ["none".to_owned()]);
    inputs.option("demo", "gateway.upstream", [upstream.to_owned()]);
    inputs.option("demo", "pool.wait", ["30s".to_owned()]);
    let mut loaded = inputs.load()?;
    loaded.config.pool.key_files = Some(Vec::new());
    loaded.config.pool.key_variables = false;
    loaded.config.keys = serde_json::from_value(KEYS.iter().map(DemoKey::entry).collect())?;
    App::open(inputs, loaded).await
}

/// A request and the time at which it is sent.
struct Call {
    at: Duration,
    path: String,
    body: Bytes,
}

/// Number of requests that are sent at once at the start.
const BURST: usize = 30;
/// Number of requests per second afterwards, which the keys can sustain.
const RATE: f64 = 6.0;

/// Generates mixed traffic for two models: whole responses, streams, embeddings and token counts.
fn calls(seconds: u64, seed: u64) -> Vec<Call> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut calls: Vec<Call> = (0..BURST).map(|_| call(Duration::from_millis(rng.u64(0..400)), &mut rng)).collect();
    let mut at = Duration::from_millis(500);
    while at + Duration::from_secs(2) < Duration::from_secs(seconds) {
        calls.push(call(at, &mut rng));
        at += Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / RATE);
    }
    calls.sort_by_key(|call| call.at);
    calls
}

fn call(at: Duration, rng: &mut fastrand::Rng) -> Call {
    let model = if rng.u8(0..10) < 6 { "gemini-2.5-flash" } else { "gemini-2.5-flash-lite" };
    let text = "Why does the moon show us one face only? ".repeat(rng.usize(1..8));
    let contents = json!({ "contents": [{ "role": "user", "parts": [{ "text": text }] }] });
    let (path, body) = match rng.u8(0..20) {
        0..11 => (format!("/v1beta/models/{model}:generateContent"), contents),
        11..16 => (format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"), contents),
        16..18 => {
            let body = json!({ "content": { "parts": [{ "text": text }] } });
            ("/v1beta/models/gemini-embedding-001:embedContent".to_owned(), body)
        }
        _ => (format!("/v1beta/models/{model}:countTokens"), contents),
    };
    Call { at, path, body: Bytes::from(body.to_string()) }
}

impl Call {
    fn request(&self, base: &str, key: &str) -> Request<axum::body::Body> {
        let mut request = Request::new(self.body.clone().into());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = format!("{base}{}", self.path).parse().expect("paths of the demo are valid");
        request.headers_mut().insert("x-goog-api-key", key.parse().expect("keys of the demo are valid"));
        request.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        request
    }
}

/// The results that clients have seen so far.
#[derive(Default)]
struct Tally(Mutex<Counts>);

#[derive(Clone, Debug, Default)]
struct Counts {
    sent: u64,
    /// Number of responses by status; 0 stands for none or an interrupted one.
    answers: BTreeMap<u16, u64>,
    longest: Duration,
    /// The time and the key of the first successful response.
    first: Option<(Duration, String)>,
}

impl Tally {
    fn counts(&self) -> Counts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn good(&self) -> u64 {
        self.answers.get(&200).copied().unwrap_or(0)
    }

    fn summary(&self) -> Value {
        let by_status: BTreeMap<String, u64> =
            self.answers.iter().map(|(status, n)| (status.to_string(), *n)).collect();
        json!({
            "answered": self.good(),
            "too_many_requests": self.answers.get(&429).copied().unwrap_or(0),
            "by_status": by_status,
            "longest_seconds": rounded_seconds(self.longest),
        })
    }

    fn text(&self) -> String {
        let bad = self.answers.iter().filter(|(status, _)| **status != 200).map(|(status, count)| match status {
            0 => format!(", {count} interrupted"),
            status => format!(", {count} × {status}"),
        });
        let seen = if self.answers.contains_key(&429) { "" } else { ", no 429" };
        let percent = if self.sent == 0 { 100.0 } else { self.good() as f64 * 100.0 / self.sent as f64 };
        format!("{} of {} answered ({percent:.0} %){}{seen}", self.good(), self.sent, bad.collect::<String>())
    }
}

/// Sends each call at its time, and waits for all responses.
async fn send_all<S, B>(calls: &[Call], tally: &Arc<Tally>, mut to: impl FnMut(&Call) -> (S, Request<axum::body::Body>))
where
    S: Service<Request<axum::body::Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    let began = Instant::now();
    let mut sending = JoinSet::new();
    for call in calls {
        tokio::time::sleep_until(began + call.at).await;
        let ((service, request), tally) = (to(call), Arc::clone(tally));
        tally.lock().sent += 1;
        sending.spawn(async move {
            let sent = Instant::now();
            let answer = service.oneshot(request).await.ok();
            let (status, key) = match answer {
                None => (None, None),
                Some(answer) => {
                    let key =
                        answer.headers().get("x-keypool-key").and_then(|key| key.to_str().ok().map(str::to_owned));
                    let status = answer.status();
                    (answer.into_body().collect().await.is_ok().then_some(status), key)
                }
            };
            let mut counts = tally.lock();
            counts.longest = counts.longest.max(sent.elapsed());
            *counts.answers.entry(status.map_or(0, |status| status.as_u16())).or_default() += 1;
            if status == Some(StatusCode::OK) && counts.first.is_none() {
                counts.first = Some((began.elapsed(), key.unwrap_or_default()));
            }
        });
    }
    while sending.join_next().await.is_some() {}
}

async fn send_with_random_keys(sim: SimService, seed: u64, calls: &[Call], tally: &Arc<Tally>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    send_all(calls, tally, |call| {
        let key = &KEYS[rng.usize(0..KEYS.len())];
        (sim.clone(), call.request("http://gemini-sim.invalid", &key.secret()))
    })
    .await;
}

/// The display of progress: a table that is redrawn in place on a terminal, or else lines.
struct View<'a> {
    app: &'a AppState,
    tally: &'a Tally,
    began: Instant,
    seconds: u64,
    /// Number of lines on the terminal.
    drawn: u16,
}

/// Maximum width of the summary and the table.
const WIDTH: usize = 80;

impl View<'_> {
    /// Updates the display. Never returns.
    async fn follow(&mut self, is_silent: bool) {
        if is_silent {
            return std::future::pending().await;
        }
        let is_terminal = std::io::stdout().is_terminal();
        let mut is_first_printed = false;
        let mut printed = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(if is_terminal { 200 } else { 20 })).await;
            if is_terminal {
                self.draw();
                continue;
            }
            if !is_first_printed && let Some((after, key)) = self.tally.counts().first {
                print(format_args!("first answer after {:.2} s, by {key}", after.as_secs_f64()));
                is_first_printed = true;
            }
            if printed.elapsed() >= Duration::from_secs(2) {
                printed = Instant::now();
                print(self.headline());
            }
        }
    }

    fn rows(&self) -> Vec<KeyRow> {
        let provider = self.app.pools.own();
        key_rows(provider, &provider.pool.snapshot(0, usize::MAX), |_| true)
    }

    fn headline(&self) -> String {
        let counts = self.tally.counts();
        let text = format!(
            "{:>2} s of {}: {} sent, {}; {}",
            self.began.elapsed().as_secs(),
            self.seconds,
            counts.sent,
            answered(&counts),
            totals(&self.rows())
        );
        short(&text, WIDTH)
    }

    fn lines(&self) -> Vec<String> {
        let rows = self.rows();
        [self.headline()].into_iter().chain(rows.iter().map(|row| short(&line(row), WIDTH))).collect()
    }

    fn draw(&mut self) {
        let width = crossterm::terminal::size().map_or(WIDTH, |(width, _)| usize::from(width));
        let lines = self.lines();
        let mut out = std::io::stdout().lock();
        if self.drawn > 0 {
            let _ = queue!(out, MoveToPreviousLine(self.drawn), Clear(ClearType::FromCursorDown));
        }
        for line in &lines {
            let _ = writeln!(out, "{}", short(line, width));
        }
        let _ = out.flush();
        self.drawn = lines.len() as u16;
    }

    /// Shows the final state of the keys.
    fn last(&mut self) {
        if std::io::stdout().is_terminal() {
            return self.draw();
        }
        for line in self.lines() {
            print(line);
        }
    }
}

fn answered(counts: &Counts) -> String {
    let bad: u64 = counts.answers.iter().filter(|(status, _)| **status != 200).map(|(_, count)| count).sum();
    if bad == 0 { format!("{} answered", counts.good()) } else { format!("{} answered, {bad} not", counts.good()) }
}
