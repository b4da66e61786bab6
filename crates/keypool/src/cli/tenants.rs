//! `keypool tenants`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use keypool_store::{
    SqliteStore,
    sqlite::{Tenant, UsageQuery},
};
use serde_json::json;

use super::{
    block_on,
    opened::{database, must_exist},
    output::{Json, moment, print, print_json, quoted, table, warn, wrong},
};
use crate::{
    config::{Inputs, Loaded, TenantEntry, parse_time},
    store::Stores,
    tenants, usage,
};

/// Manage tenants: clients with their own token, models and limits. A running gateway applies a change within 2 s.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Tenants {
    #[command(subcommand)]
    change: Option<Change>,
    #[command(flatten)]
    output: Json,
}

const EXAMPLES: &str = "\
Examples:
  keypool tenants add alice
  keypool tenants add ci --models 'gemini-2.5-flash*' --rpm 60 --tpd 20000000 --expires 2030-01-31
  keypool tenants remove alice

Exit codes: 0 done, 1 the database cannot be used, 2 the command line or the configuration is wrong, or there is no such tenant.";

#[derive(Subcommand)]
enum Change {
    /// List all tenants
    List,
    /// Add a tenant and print its token, which is not shown again
    Add {
        /// The name of the tenant
        name: String,
        #[command(flatten)]
        rights: Rights,
    },
    /// Change the models or limits of a tenant; an empty value removes a limit
    Set {
        /// The name of the tenant
        name: String,
        #[command(flatten)]
        rights: Rights,
    },
    /// Remove a tenant: its token is refused, and its open streams are closed
    Remove {
        /// The name of the tenant
        name: String,
    },
}

/// Permissions of a tenant.
#[derive(Args)]
struct Rights {
    /// Models that the tenant may use; a name may end in * [default: all]
    #[arg(long, value_name = "MODEL,…")]
    models: Option<String>,
    /// The limit of requests per minute
    #[arg(long, value_name = "NUMBER")]
    rpm: Option<String>,
    /// The limit of requests per day (UTC)
    #[arg(long, value_name = "NUMBER")]
    rpd: Option<String>,
    /// The limit of input and output tokens per minute
    #[arg(long, value_name = "NUMBER")]
    tpm: Option<String>,
    /// The limit of input and output tokens per day (UTC)
    #[arg(long, value_name = "NUMBER")]
    tpd: Option<String>,
    /// The maximum number of simultaneous requests
    #[arg(long, value_name = "NUMBER")]
    max_concurrent: Option<String>,
    /// The time at which the tenant's access ends: 2030-01-31 or 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

impl Rights {
    fn is_empty(&self) -> bool {
        let Self { models, rpm, rpd, tpm, tpd, max_concurrent, expires } = self;
        [models, rpm, rpd, tpm, tpd, max_concurrent, expires].into_iter().all(Option::is_none)
    }

    fn apply(self, entry: &mut TenantEntry) -> anyhow::Result<()> {
        fn set<T: std::str::FromStr>(option: &str, text: Option<&str>, to: &mut Option<T>) -> anyhow::Result<()> {
            match text.map(str::trim) {
                None => {}
                Some("") => *to = None,
                Some(text) => {
                    let number = text.parse();
                    *to = Some(number.map_err(|_| wrong(format!("{option}: expected a whole number, 0 or more")))?);
                }
            }
            Ok(())
        }
        set("--rpm", self.rpm.as_deref(), &mut entry.rpm)?;
        set("--rpd", self.rpd.as_deref(), &mut entry.rpd)?;
        set("--tpm", self.tpm.as_deref(), &mut entry.tpm)?;
        set("--tpd", self.tpd.as_deref(), &mut entry.tpd)?;
        set("--max-concurrent", self.max_concurrent.as_deref(), &mut entry.max_concurrent)?;
        if let Some(models) = self.models {
            entry.models =
                models.split(',').map(str::trim).filter(|model| !model.is_empty()).map(str::to_owned).collect();
        }
        if let Some(time) = self.expires {
            if has_passed(&time) {
                warn(format_args!("--expires: {time} has passed, so the tenant's token is refused"));
            }
            entry.expires = Some(time).filter(|time| !time.is_empty());
        }
        match entry.problems().into_iter().next() {
            Some(problem) => {
                let problem = problem.replace("max_concurrent: ", "--max-concurrent: ");
                Err(wrong(problem.replace("expires: ", "--expires: ")))
            }
            None => Ok(()),
        }
    }
}

impl Tenants {
    pub(super) fn run(self, inputs: &Inputs) -> anyhow::Result<ExitCode> {
        let loaded = inputs.load()?;
        let json = self.output.json;
        block_on(Some(1), async {
            if matches!(self.change, None | Some(Change::List)) {
                must_exist(&loaded)?;
            }
            let stores = Stores::open_database(&loaded).await?;
            match self.change {
                None | Some(Change::List) => list(&loaded, stores.sqlite.as_ref(), json).await?,
                Some(Change::Add { name, rights }) => add(&loaded, database(&stores)?, name, rights, json).await?,
                Some(Change::Set { name, rights }) => {
                    let database = database(&stores)?;
                    let mut tenant = find(&loaded, database, &name).await?;
                    if rights.is_empty() {
                        return Err(wrong("there is nothing to set: name an option, such as --rpm 10"));
                    }
                    let mut entry = TenantEntry { name: name.clone(), ..serde_json::from_value(tenant.options)? };
                    rights.apply(&mut entry)?;
                    tenant.options = tenants::stored_options(&entry);
                    database.put_tenant(tenant).await?;
                    print_done(json, &name, "changed");
                }
                Some(Change::Remove { name }) => {
                    let database = database(&stores)?;
                    let tenant = find(&loaded, database, &name).await?;
                    database.remove_tenant(&tenant.name).await?;
                    print_done(json, &name, "removed");
                }
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn has_passed(time: &str) -> bool {
    parse_time(time).is_some_and(|time| time <= jiff::Timestamp::now())
}

fn print_done(json: bool, name: &str, done: &str) {
    if json { print_json(&json!({ "name": name, "done": done })) } else { print(format_args!("{name} is {done}")) }
}

async fn add(loaded: &Loaded, database: &SqliteStore, name: String, rights: Rights, json: bool) -> anyhow::Result<()> {
    let mut entry = TenantEntry { name: name.clone(), ..TenantEntry::default() };
    rights.apply(&mut entry)?;
    if loaded.config.tenants.iter().any(|entry| entry.name == name) {
        let file = loaded.path.display();
        return Err(wrong(format!("{name} is listed in {file}: change it there, or choose another name")));
    }
    if database.tenants().await?.iter().any(|tenant| tenant.name == name) {
        return Err(wrong(format!(
            "there is a tenant {name} already: choose another name, or change it with `keypool tenants set {}`",
            quoted(&name)
        )));
    }
    let token = tenants::add(database, &entry).await?;
    if json {
        print_json(&json!({ "name": name, "token": token }));
    } else {
        print(format_args!("the token of {name} (it is not shown again):\n{token}"));
    }
    Ok(())
}

async fn find(loaded: &Loaded, database: &SqliteStore, name: &str) -> anyhow::Result<Tenant> {
    if loaded.config.tenants.iter().any(|entry| entry.name == name) {
        return Err(wrong(format!("{name} is listed in {}: change it there", loaded.path.display())));
    }
    let tenants = database.tenants().await?;
    let found = tenants.into_iter().find(|tenant| tenant.name == name);
    found.ok_or_else(|| wrong(format!("there is no tenant {name}: list all tenants with `keypool tenants`")))
}

async fn list(loaded: &Loaded, database: Option<&SqliteStore>, json: bool) -> anyhow::Result<()> {
    let place = loaded.path.display().to_string();
    let mut all: Vec<(TenantEntry, String, Option<i64>)> =
        loaded.config.tenants.iter().map(|entry| (entry.clone(), place.clone(), None)).collect();
    let mut used = std::collections::HashMap::new();
    if let Some(database) = database {
        for tenant in database.tenants().await? {
            let entry = serde_json::from_value::<TenantEntry>(tenant.options).unwrap_or_default();
            all.push((TenantEntry { name: tenant.name, ..entry }, "database".to_owned(), Some(tenant.created_ms)));
        }
        let today = usage::today("UTC");
        for row in database.usage(UsageQuery::of_days(today..=today).by_key()).await? {
            if let Some(name) = row.key.as_ref().and_then(|key| tenants::of_counted(key.as_str())) {
                used.insert(name.to_owned(), row.used.requests);
            }
        }
    }
    let requests = |name: &str| used.get(name).copied().unwrap_or(0);
    if json {
        let values = all.iter().map(|(entry, place, created)| {
            json!({
                "name": entry.name,
                "listed_at": place,
                "models": entry.models,
                "rpm": entry.rpm,
                "rpd": entry.rpd,
                "tpm": entry.tpm,
                "tpd": entry.tpd,
                "max_concurrent": entry.max_concurrent,
                "expires": entry.expires,
                "created": created.map(moment),
                "requests_today": requests(&entry.name),
            })
        });
        print_json(&values.collect::<Vec<_>>());
        return Ok(());
    }
    if all.is_empty() {
        print("there is no tenant: add one with `keypool tenants add NAME`");
        return Ok(());
    }
    let cells = all.iter().map(|(entry, place, _)| {
        let limits = [
            ("rpm", entry.rpm),
            ("rpd", entry.rpd),
            ("tpm", entry.tpm),
            ("tpd", entry.tpd),
            ("concurrent", entry.max_concurrent.map(Into::into)),
        ];
        let limits = limits.into_iter().filter_map(|(name, limit)| Some(format!("{name} {}", limit?)));
        let models = if entry.models.is_empty() { "all".to_owned() } else { entry.models.join(", ") };
        let expires = match entry.expires.as_deref() {
            Some(time) if has_passed(time) => format!("{time} (expired)"),
            time => time.unwrap_or("never").to_owned(),
        };
        let limits = limits.collect::<Vec<_>>().join(", ");
        [entry.name.clone(), place.clone(), models, limits, requests(&entry.name).to_string(), expires]
    });
    print(table(["tenant", "listed at", "models", "limits", "requests today", "expires"], cells));
    Ok(())
}
