//! `keypool import`: many keys into the database, and what came of it for the record.

use std::{io::Read, path::Path};

use anyhow::anyhow;
use clap::Args;
use serde_json::json;
use tower_keypool::{
    config::{KeySpec, Origin, key_file::KeyFile},
    store::ImportRecord,
};

use super::{Failure, say, say_json, secret, table::Columns};
use crate::{config::count, database::Whose, edits, gateway::token::PLACEHOLDER, telemetry::plain};

/// Keep the keys of a file in the database: a key a line with options behind it, CSV or TSV with a header, or a JSON array.
///
/// A key that is there already is counted and left as it is; a line that is wrong is named and costs no other. The file
/// itself is not needed afterwards.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Import {
    /// The file; `-`: standard input
    #[arg(value_name = "FILE|-", required_unless_present = "history")]
    file: Option<String>,

    /// Where the keys are from: their label of that name, unless a line says another
    #[arg(long, value_name = "TEXT", default_value = "import")]
    source: String,

    /// Keep the secrets as they are: whoever reads the database has them
    #[arg(long)]
    plain: bool,

    /// Show the imports made so far instead
    #[arg(long, conflicts_with_all = ["file", "plain"])]
    history: bool,

    #[command(flatten)]
    database: Whose,

    /// Print what became of it as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  keypool import keys.txt --source mail
  vault kv get -field=keys gemini | keypool import - --source vault
  keypool import --history

Exit codes: 0 done (see what was rejected), 1 the database cannot be read or written, 2 the command line is wrong, or \
there is no usable key.";

impl Import {
    pub(super) fn run(self) -> Result<(), Failure> {
        if self.history {
            return self.tell_history();
        }
        let from = self.file.as_deref().unwrap_or("-");
        let path = Path::new(from);
        let bytes = read(path)?;
        let mut file = KeyFile::parse(path, &bytes, &[PLACEHOLDER]).map_err(Failure::config)?;
        let mut source = KeySpec::new("", Origin::Default);
        source.set("source", &self.source).map_err(|error| super::options::wrong(&edits::wrong("source", &error)))?;

        let runtime = super::runtime()?;
        let store = runtime.block_on(self.database.open())?;
        edits::without_tokens(&mut file, &runtime.block_on(self.database.tokens(&store))?);
        super::options::note_unknown_tokens(&self.database);
        let from = if from == "-" { from.to_owned() } else { shown(path) };
        let imported = edits::import(&store, file, (from, self.source.clone()), self.plain);
        let (record, made) = runtime.block_on(imported)?;
        if self.json {
            let mut told = json(&record);
            told["secret_key_file"] = json!(made);
            say_json(&told);
        } else {
            if let Some(file) = &made {
                say(&secret::made(file));
            }
            for (line, why) in &record.rejected {
                say(&format!("line {line}: {why}"));
            }
            let ImportRecord { added, duplicate, rejected, .. } = &record;
            let keys = count(usize::try_from(*added).unwrap_or(usize::MAX), "key");
            let rejected = rejected.len();
            say(&format!("{keys} added from {}, {duplicate} there already, {rejected} rejected", called(&record.from)));
        }
        if record.added + record.duplicate == 0 {
            return Err(Failure::config(anyhow!("no usable key in {}: it takes a key a line", called(&record.from))));
        }
        Ok(())
    }

    fn tell_history(&self) -> Result<(), Failure> {
        let runtime = super::runtime()?;
        let store = runtime.block_on(self.database.look())?;
        let imports = runtime.block_on(store.imports()).map_err(Failure::run)?;
        if self.json {
            say_json(&imports.iter().map(json).collect::<Vec<_>>());
            return Ok(());
        }
        let mut table = Columns::new(["time", "from", "source", "lines", "added", "duplicate", "rejected"]);
        for import in &imports {
            let rejected: Vec<String> = import.rejected.iter().map(|(line, why)| format!("{line}: {why}")).collect();
            table.row([
                super::table::moment(import.time),
                import.from.clone(),
                import.source.clone(),
                import.lines.to_string(),
                import.added.to_string(),
                import.duplicate.to_string(),
                rejected.join("; "),
            ]);
        }
        say(&table.to_string());
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        tower_keypool::config::read_bytes(path)
    };
    read.map_err(|error| {
        let name = path.display().to_string();
        let name = if secret::may_be(&name) { "that file (it may be a secret, and is not shown)" } else { &*name };
        Failure::config(anyhow!("{name}: {error}: name a file with a key a line, or - for standard input"))
    })
}

/// Where keys came from, as a person says it.
fn called(from: &str) -> String {
    if from == "-" { "standard input".to_owned() } else { plain(from) }
}

/// The file as it is called from anywhere.
fn shown(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn json(import: &ImportRecord) -> serde_json::Value {
    let rejected: Vec<_> = import.rejected.iter().map(|(line, why)| json!({ "line": line, "why": why })).collect();
    json!({
        "time": super::table::moment(import.time),
        "from": import.from,
        "source": import.source,
        "lines": import.lines,
        "added": import.added,
        "duplicate": import.duplicate,
        "rejected": rejected,
    })
}
