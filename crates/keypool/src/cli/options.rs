//! What can be said of a key on the command line: the options of a key file, by the same rules.

use anyhow::anyhow;
use clap::Args;

use super::Failure;
use crate::{
    database::Whose,
    edits::{Words, WrongWord},
    standing::Configured,
    telemetry::plain,
};

/// What is known of a key.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Options {
    /// What the account pays: free, paid, or a paid tier by name such as tier-2
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,

    /// Place in the order: 0 to 65535, lower first [default: 0 for free and no tier, 10 for paid ones]
    #[arg(long, value_name = "NUMBER")]
    priority: Option<String>,

    /// Share of the load inside its priority: above 0 [default: 1]
    #[arg(long, value_name = "NUMBER")]
    weight: Option<String>,

    /// Who owns the quota (for Gemini the project): keys of one owner share its limits and rests
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,

    /// The exit that its requests go out by, which [exits.NAME] of the configuration describes
    #[arg(long, value_name = "NAME")]
    exit: Option<String>,

    /// The account that pays; owners that share one run dry together
    #[arg(long, value_name = "NAME")]
    billing_account: Option<String>,

    /// Where it is from, in your own words
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,

    /// A label shown beside it (repeatable)
    #[arg(long = "label", value_name = "NAME:VALUE")]
    labels: Vec<String>,

    /// Requests a minute of its owner
    #[arg(long, value_name = "NUMBER")]
    rpm: Option<String>,

    /// Prompt tokens a minute of its owner
    #[arg(long, value_name = "NUMBER")]
    tpm: Option<String>,

    /// Requests a day of its owner
    #[arg(long, value_name = "NUMBER")]
    rpd: Option<String>,

    /// The model that --rpm, --tpm and --rpd are for [default: every model without its own]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,

    /// Requests in flight at once
    #[arg(long, value_name = "NUMBER")]
    concurrent: Option<String>,

    /// Shortest time between two starts: seconds, or 500ms, 2s, 1m
    #[arg(long, value_name = "TIME")]
    interval: Option<String>,

    /// Where its day ends: an IANA zone such as UTC [default: the provider's]
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
}

impl Options {
    fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let once = [
            ("tier", &self.tier),
            ("priority", &self.priority),
            ("weight", &self.weight),
            ("owner", &self.owner),
            ("exit", &self.exit),
            ("billing_account", &self.billing_account),
            ("source", &self.source),
            ("rpm", &self.rpm),
            ("tpm", &self.tpm),
            ("rpd", &self.rpd),
            ("concurrent", &self.concurrent),
            ("interval", &self.interval),
            ("zone", &self.zone),
        ];
        let once = once.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        once.chain(self.labels.iter().map(|label| ("label", &**label)))
    }

    /// A key whose exit nothing describes goes nowhere: that is said when it is named.
    pub(super) fn note_exit(&self, database: &Whose) {
        let Some(exit) = self.exit.as_deref() else { return };
        if let Some(why) = Configured::of(database).nowhere(Some(exit)) {
            eprintln!("keypool: note: --exit: {}; until then it is not used", plain(&why));
        }
    }

    /// The same as words.
    pub(super) fn words(&self) -> Words {
        let said = self.given().map(|(name, value)| (name, value.to_owned())).collect();
        Words { said, model: self.model.clone(), unset: Vec::new() }
    }
}

/// Says that nobody knows what clients send where the configuration is wrong: what is taken for a key may be that.
pub(super) fn note_unknown_tokens(database: &Whose) {
    if database.inputs().load().is_err() {
        eprintln!(
            "keypool: note: the configuration is wrong (`keypool config check` says where), so that it is not known whether \
             that is a token of clients; no start takes one for a key"
        );
    }
}

/// What cannot be taken, by the name that it has here.
pub(super) fn wrong(wrong: &WrongWord) -> Failure {
    if wrong.name == "model" {
        return Failure::config(anyhow!("--model goes with --rpm, --tpm or --rpd"));
    }
    Failure::config(anyhow!("--{}: {}", wrong.name.replace('_', "-"), wrong.why))
}
