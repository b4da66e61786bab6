//! The table of keys.

use clap::Args;
use serde_json::{Value, json};

use crate::{
    cli::{
        Failure, runtime, say, say_json,
        table::{Columns, moment, moment_if},
    },
    database::{Whose, keys_may_be_in},
    standing::{Configured, Stand, State},
    telemetry::plain,
};

/// What is listed, and how.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Also those that left
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    database: Whose,

    /// As JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (standings, _) = runtime()?.block_on(Configured::of(&self.database).look(&self.database))?;
        if standings.present().next().is_none()
            && let Some(said) = self.database.site().ok().and_then(|site| keys_may_be_in(site.path()?))
        {
            eprintln!("keypool: note: {}", plain(&said));
        }
        let keys = standings.keys.iter().filter(|key| self.all || key.state != State::Removed);
        if self.json {
            say_json(&keys.map(json).collect::<Vec<_>>());
            return Ok(());
        }
        let names = [
            "key",
            "tier",
            "priority",
            "weight",
            "owner",
            "source",
            "secret",
            "from",
            "state",
            "used today",
            "last success",
            "last failure",
            "rests",
            "labels",
        ];
        let mut table = Columns::new(names).yielding([
            "last failure",
            "last success",
            "weight",
            "priority",
            "secret",
            "source",
            "labels",
            "from",
            "tier",
            "used today",
            "rests",
            "owner",
        ]);
        for key in keys {
            let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            let state = if key.reason.is_empty() { String::new() } else { format!(": {}", key.reason) };
            table.row([
                key.id.clone(),
                or_none(&key.tier),
                key.priority.to_string(),
                key.weight.to_string(),
                or_none(&key.owner),
                or_none(&key.source),
                key.secret.clone(),
                key.origins.join(" and "),
                format!("{}{state}", key.state.name()),
                key.used_today.to_string(),
                moment_if(key.last_success),
                moment_if(key.last_failure),
                rests(key).join("; "),
                labels(key).join(", "),
            ]);
        }
        say(&table.to_string());
        Ok(())
    }
}

fn labels(key: &Stand) -> Vec<String> {
    key.labels
        .iter()
        .map(|(name, value)| if name == "label" { value.clone() } else { format!("{name}:{value}") })
        .collect()
}

/// `flash: QUOTA until …`
fn rests(key: &Stand) -> Vec<String> {
    let model = |model: &Option<String>| match model.as_deref() {
        None => String::new(),
        Some("") => "without a model: ".to_owned(),
        Some(model) => format!("{model}: "),
    };
    let rests = key.rests.iter().map(|rest| {
        let ends = rest.until.map_or_else(|| "without end".to_owned(), |ends| format!("until {}", moment(ends)));
        format!("{}{} {ends}", model(&rest.model), rest.code)
    });
    rests.collect()
}

fn json(key: &Stand) -> Value {
    let mut value = serde_json::to_value(key).unwrap_or_default();
    for name in ["last_success", "last_failure", "created"] {
        value[name] = value[name].as_i64().map_or(Value::Null, |ms| json!(moment(ms)));
    }
    if let Some(rests) = value["rests"].as_array_mut() {
        for rest in rests {
            rest["until"] = rest["until"].as_i64().map_or(Value::Null, |ms| json!(moment(ms)));
        }
    }
    value
}
