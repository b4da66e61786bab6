//! `keypool config`

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};
use tower_keypool::config::Problem;

use super::{
    block_on,
    keys::NO_KEY,
    output::{Json, count, print, print_json, table, warn},
};
use crate::{
    config::{Config, Inputs, Loaded, PoolSettings, Problems},
    key_sources::{self, Listed},
    proxy::upstream::Upstream,
    server::Certificate,
    store::{self, Stores},
};

/// Check or show the configuration. Options override environment variables, which override the file.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    output: Json,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 2 the configuration is wrong.";

#[derive(Clone, Copy, Subcommand)]
enum What {
    /// Check the configuration and the key files, and list each problem with its place
    Check,
    /// Show all settings as they are written, and where each comes from, without secrets
    Show,
    /// Print the JSON schema of keypool.toml, for editors
    Schema,
}

/// A setting in effect.
#[derive(Serialize)]
struct Setting {
    #[serde(rename = "setting")]
    name: String,
    value: Value,
    /// The origin: an option, a variable, a line of the file, or `default`.
    from: String,
}

impl ConfigCommand {
    pub(super) fn run(self, inputs: &Inputs) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Check => return Ok(self.check(inputs)),
            What::Show => self.show(inputs, &inputs.load()?)?,
            What::Schema => print_json(&schemars::schema_for!(Config)),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn check(self, inputs: &Inputs) -> ExitCode {
        let ((problems, summary), is_complete) = match inputs.load() {
            Ok(loaded) => (check(&loaded), true),
            Err(Problems(problems)) => ((problems, String::new()), false),
        };
        if self.output.json {
            print_json(&json!({ "ok": problems.is_empty(), "problems": problems }));
        } else {
            problems.iter().for_each(warn);
            match problems.len() {
                0 => print(summary),
                problems => {
                    let rest = if is_complete { "" } else { "; check again after correcting, for the rest" };
                    warn(format_args!("{} found{rest}", count(problems, "problem")));
                }
            }
        }
        if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(super::WRONG) }
    }

    fn show(self, inputs: &Inputs, loaded: &Loaded) -> anyhow::Result<()> {
        let settings = settings(loaded)?;
        let config = &loaded.config;
        let lists = json!({
            "keys": config.keys.len(),
            "models": config.models.iter().map(|model| &model.name).collect::<Vec<_>>(),
            "errors": config.errors.len(),
            "providers": loaded.pools()[1..].iter().map(|settings| &settings.name).collect::<Vec<_>>(),
            "exits": config.exits.keys().collect::<Vec<_>>(),
            "tenants": config.tenants.iter().map(|tenant| &tenant.name).collect::<Vec<_>>(),
        });
        let file = inputs.file().map(|file| file.display().to_string());
        if self.output.json {
            print_json(&json!({ "file": file, "settings": settings, "lists": lists }));
            return Ok(());
        }
        print(format_args!("file: {}", file.as_deref().unwrap_or("none")));
        let value = |value: &Value| match value {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let cells = settings.iter().map(|row| [row.name.clone(), value(&row.value), row.from.clone()]);
        print(table(["setting", "value", "from"], cells));
        for (name, list) in lists.as_object().into_iter().flatten() {
            let names: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let text = if list.is_number() { list.to_string() } else { names.join(", ") };
            print(format_args!("{name}: {}", if text.is_empty() { "none" } else { &text }));
        }
        Ok(())
    }
}

/// Returns each pool with its keys. A database that does not exist, or is an empty file, is not created.
fn pools(loaded: &Loaded, path: Option<PathBuf>) -> anyhow::Result<Vec<(PoolSettings, Listed)>> {
    let mut stores = Stores::default();
    if let Some(path) = path.filter(|path| path.metadata().is_ok_and(|file| file.is_file() && file.len() > 0)) {
        stores.sqlite = Some(store::open_database(path, &loaded.environment)?);
    }
    block_on(Some(1), key_sources::all(loaded, &stores))
}

/// Checks that files can be created in a folder. The folder itself may be missing.
fn check_folder(folder: &Path) -> std::io::Result<()> {
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let file = existing.join(format!(".keypool-check-{}", std::process::id()));
    std::fs::File::create_new(&file).and_then(|_| std::fs::remove_file(&file))
}

/// Checks the parts that are only read when the configuration is used: keys, certificate files and exits.
fn check(loaded: &Loaded) -> (Vec<Problem>, String) {
    let mut problems = Vec::new();
    let mut keys = 0;
    let all = store::database_path(loaded).and_then(|path| pools(loaded, path)).or_else(|error| {
        problems.push(Problem::new("store.path", format!("{error:#}")));
        pools(loaded, None)
    });
    for (settings, listed) in all.unwrap_or_default() {
        keys += listed.keys.len();
        problems.extend(listed.problems);
        if let Err(error) = settings.builder().and_then(|builder| builder.keys(listed.keys).build()) {
            problems.push(Problem::new(format!("provider {}", settings.name), error.to_string()));
        }
    }
    if let Err(error) = Upstream::new(loaded) {
        problems.push(Problem::new("configuration", format!("{error:#}")));
    }
    if let Some(Err(error)) =
        loaded.config.log.directory.as_ref().map(|folder| check_folder(&loaded.folder().join(folder)))
    {
        problems.push(Problem::new("log.directory", format!("no file can be created in this folder: {error}")));
    }
    let gateway = &loaded.config.gateway;
    if let (Some(certificate), Some(key)) = (&gateway.tls_cert_file, &gateway.tls_key_file) {
        let read = Certificate::read(loaded.folder().join(certificate), loaded.folder().join(key));
        if let Err(error) = read {
            problems.push(Problem::new("gateway.tls_cert_file", format!("{error:#}")));
        }
    }
    let end = if keys == 0 { format!("; {NO_KEY}") } else { String::new() };
    (problems, format!("the configuration is valid: {}{end}", count(keys, "key")))
}

fn settings(loaded: &Loaded) -> anyhow::Result<Vec<Setting>> {
    let config = &loaded.config;
    let sections: BTreeMap<&str, Value> = BTreeMap::from([
        ("pool", serde_json::to_value(&config.pool)?),
        ("gateway", serde_json::to_value(&config.gateway)?),
        ("admin", serde_json::to_value(&config.admin)?),
        ("log", serde_json::to_value(&config.log)?),
        ("store", serde_json::to_value(&config.store)?),
        ("batch", serde_json::to_value(&config.batch)?),
    ]);
    let mut settings = Vec::new();
    for (section, values) in sections {
        for (name, value) in values.as_object().into_iter().flatten() {
            let setting = format!("{section}.{name}");
            let from = loaded.origins.get(&setting).cloned().unwrap_or_else(|| "default".to_owned());
            settings.push(Setting { name: setting, value: value.clone(), from });
        }
    }
    Ok(settings)
}
