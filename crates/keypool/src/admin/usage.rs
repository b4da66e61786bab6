//! What was used: by key and model as the pool counts attempts, by tenant as clients make requests.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::{Admin, Asked, answer::Fault};
use crate::{
    database::{Database, used::Use},
    standing::{Calendar, Days, Sum, now_ms},
};

/// So many days at once.
const MOST_DAYS: i64 = 400;

fn is_nothing(sum: &Sum) -> bool {
    sum.requests == 0 && sum.errors.is_empty() && sum.input_tokens + sum.output_tokens == 0
}

impl Admin {
    pub(super) async fn usage(&self, asked: &Asked) -> Result<Value, Fault> {
        let by = asked.query("by").unwrap_or("key");
        match by {
            "tenant" => {
                // What tenants used is the gateway's, whichever of its pools is asked for; one that is not there is told.
                self.theirs(asked)?;
                self.by_tenant(asked).await
            }
            "key" | "model" => {
                let theirs = self.theirs(asked)?;
                let database = theirs.database.as_ref().ok_or_else(no_use)?;
                let book = database.key_book().await.map_err(|error| Fault::store(&error))?;
                let days = Days::new(&book, &theirs.configured);
                let names = theirs.configured.names(&book);
                Self::by_key(asked, by, database, (&days, &theirs.configured.calendar, &names)).await
            }
            _ => Err(Fault::wrong("by: expected key, model or tenant")),
        }
    }

    async fn by_key(
        asked: &Asked,
        by: &str,
        database: &Database,
        (days, usual, names): (&Days, &Calendar, &HashMap<String, String>),
    ) -> Result<Value, Fault> {
        let range = Range::of(asked, |text| usual.day(text))?;
        let (first, last) = match &range.relative {
            // Today is not the same date for all.
            Some(which) => days.span(which).unwrap_or_else(|| (range.from.clone(), range.to.clone())),
            None => (range.from.clone(), range.to.clone()),
        };
        let used = database.usage(&first, &last).await.map_err(|error| Fault::store(&error))?;
        let mut rows: BTreeMap<(String, String), Sum> = BTreeMap::new();
        let mut total = Sum::default();
        for record in &used {
            let fits = match &range.relative {
                Some(which) => days.of(&record.key).day(which).as_deref() == Some(&*record.day),
                None => true,
            };
            if fits {
                let now = || names.get(&*record.key).map_or(&*record.id, String::as_str);
                let name = if by == "key" { now() } else { &record.lane };
                rows.entry((record.day.to_string(), name.to_owned())).or_default().add(record);
                total.add(record);
            }
        }
        rows.retain(|_, sum| !is_nothing(sum));
        let told = rows.iter().map(|((day, name), sum)| {
            let mut row = serde_json::to_value(sum).unwrap_or_default();
            row["day"] = json!(day);
            row[by] = json!(name);
            row
        });
        let told: Vec<Value> = told.collect();
        Ok(json!({ "from": range.from, "to": range.to, "by": by, "rows": told, "total": total }))
    }

    async fn by_tenant(&self, asked: &Asked) -> Result<Value, Fault> {
        let range = Range::of(asked, |text| Calendar::utc().day(text))?;
        let span = (&*range.from, &*range.to);
        let lines = self.used.read(&self.records, &self.process.id, span, now_ms()).await;
        let lines = lines.map_err(|error| Fault::store(&error))?;
        let mut total = Use::default();
        let told = lines.iter().map(|(line, used)| {
            total.add(used);
            let mut row = serde_json::to_value(used).unwrap_or_default();
            row["day"] = json!(line.day);
            row["tenant"] = json!(line.tenant);
            row["model"] = json!(line.model);
            row
        });
        let told: Vec<Value> = told.collect();
        Ok(json!({ "from": range.from, "to": range.to, "by": "tenant", "rows": told, "total": total }))
    }
}

fn no_use() -> Fault {
    Fault::new(
        http::StatusCode::CONFLICT,
        "no_database",
        "without a database nobody remembers what keys used (by=tenant tells of this process)",
    )
}

/// Which days are asked for.
struct Range {
    from: String,
    to: String,
    /// `today` or `yesterday`, which is not the same date everywhere.
    relative: Option<String>,
}

impl Range {
    fn of(asked: &Asked, date: impl Fn(&str) -> Option<String>) -> Result<Self, Fault> {
        let read = |name: &'static str, text: &str| {
            date(text)
                .ok_or_else(|| Fault::wrong(format!("{name}: expected a date such as 2026-06-15, today or yesterday")))
        };
        let (from, to) = (asked.query("from"), asked.query("to"));
        if from.is_none() && to.is_none() {
            let day = asked.query("day").unwrap_or("today");
            let relative = matches!(day, "today" | "yesterday").then(|| day.to_owned());
            let day = read("day", day)?;
            return Ok(Self { from: day.clone(), to: day, relative });
        }
        let to = read("to", to.unwrap_or("today"))?;
        let from = from.map_or_else(|| Ok(to.clone()), |from| read("from", from))?;
        let long = |text: &str| text.parse::<jiff::civil::Date>().ok();
        let days = long(&from)
            .zip(long(&to))
            .and_then(|(from, to)| to.since(from).ok())
            .map(|span| i64::from(span.get_days()));
        match days {
            Some(0..=MOST_DAYS) => Ok(Self { from, to, relative: None }),
            _ => Err(Fault::wrong("from and to: expected at most 400 days, the first one first")),
        }
    }
}
