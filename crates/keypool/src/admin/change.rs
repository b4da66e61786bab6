//! Changes of keys: by the same code as the commands, in the database where there is one, so that they last and act in all
//! processes. Without a database they act on this process's pool, as far as that goes.

use std::{collections::BTreeSet, path::Path};

use http::StatusCode;
use serde_json::{Value, json};
use tower_keypool::{
    KeyError, Priority,
    config::{KeySpec, Origin, key_file::KeyFile},
    store::{Added, BookError, KeyBook},
};

use super::{
    Admin, Asked,
    answer::{Answer, Fault, fine, json as answer},
    body::{body, body_or_none},
    keys::unknown,
    object::Object,
    theirs::Theirs,
    words::{NewKey, NewSecret, Said, Why},
};
use crate::{
    database::tenants,
    edits::{self, EditError, Words, WrongWord},
    gateway::token::PLACEHOLDER,
    standing::now_ms,
};

/// What came of a change.
pub(super) struct Done {
    pub(super) answer: Answer,
    /// The key's name, or the exit's.
    pub(super) key: Option<String>,
}

impl From<EditError> for Fault {
    fn from(error: EditError) -> Self {
        match &error {
            EditError::Book(BookError::Unknown(_)) => unknown(),
            EditError::Book(BookError::Removed(_)) => Self::not_found(error.to_string()),
            EditError::Book(BookError::Elsewhere(_)) | EditError::Configured(_) => {
                Self::new(StatusCode::CONFLICT, "elsewhere", error.to_string())
            }
            EditError::Book(_) => Self::new(StatusCode::CONFLICT, "conflict", error.to_string()),
            EditError::Wrong(_) => Self::wrong(error.to_string()),
            EditError::Store(error) => Self::store(error),
        }
    }
}

impl From<WrongWord> for Fault {
    fn from(wrong: WrongWord) -> Self {
        EditError::from(wrong).into()
    }
}

const PASSING: &str = "in this process alone, until it reads its configuration again or ends: there is no database";
const LASTING: &str = "in all processes within 2 s, and after a restart";
const NOTHING: &str = "nowhere: nothing was changed, since the key is there already (PATCH says something else of it)";

impl Admin {
    /// Changes a key of the database, wherever it is from.
    async fn each(
        theirs: &Theirs,
        typed: &str,
        change: impl Fn(&mut KeyBook, &str) -> Result<(), EditError> + Send + 'static,
    ) -> Result<Option<Done>, Fault> {
        let Some(database) = &theirs.database else { return Ok(None) };
        let (typed, configured) = (typed.to_owned(), theirs.configured.keys.clone());
        let edited = edits::edit(database, move |book| {
            let id = edits::find(book, &configured, &typed)?;
            edits::is_there(book, &id)?;
            change(book, &id)?;
            Ok(id)
        });
        Ok(Some(done(edited.await?, LASTING)))
    }

    /// Whether these may be shown: none holds a key of a pool that runs here.
    fn showable<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Result<(), Fault> {
        let scene = self.scene();
        let pools = || std::iter::once(&scene.pool).chain(scene.beside.values().map(|side| &side.pool));
        for text in texts {
            if pools().any(|pool| pool.holds_secret(text)) {
                return Err(EditError::Wrong(edits::HOLDS_A_KEY.to_owned()).into());
            }
        }
        Ok(())
    }

    /// Whether the exit that is said of a key is there: else no request would go out with it.
    fn known_exit(&self, words: &Words) -> Result<(), Fault> {
        let mut exits = words.said.iter().filter(|(name, _)| *name == "exit");
        let exits = exits.try_for_each(|(_, exit)| self.scene().loaded.exits.knows(exit));
        exits.map_err(|why| WrongWord { name: "exit", why }.into())
    }

    /// Hashes of all that opens this gateway.
    async fn tokens(&self) -> Result<BTreeSet<String>, Fault> {
        let mut tokens = tenants::tokens(&self.records).await.map_err(EditError::Store)?;
        tokens.extend(self.scene().loaded.tokens());
        Ok(tokens)
    }

    /// Whether it opens nothing here: what does is no key, and is sent to no provider.
    pub(super) async fn no_token(&self, spec: &KeySpec) -> Result<(), Fault> {
        Ok(edits::no_token(spec, &self.tokens().await?)?)
    }

    pub(super) async fn disable(&self, theirs: &Theirs, typed: &str, asked: &Asked) -> Result<Done, Fault> {
        let why: Why = body_or_none(asked)?;
        let reason = why.reason.unwrap_or_else(|| "by an administrator".to_owned());
        edits::reason(&reason)?;
        self.showable([reason.as_str()])?;
        let said = reason.clone();
        if let Some(done) = Self::each(theirs, typed, move |book, id| edits::disable(book, id, &said)).await? {
            return Ok(done);
        }
        let id = theirs.running(typed).await?;
        theirs.pool.disable(&id, &reason).map_err(|error| refused(&error))?;
        Ok(done(id.to_string(), PASSING))
    }

    pub(super) async fn enable(theirs: &Theirs, typed: &str) -> Result<Done, Fault> {
        if let Some(done) = Self::each(theirs, typed, |book, id| Ok(book.enable(id)?)).await? {
            return Ok(done);
        }
        let id = theirs.running(typed).await?;
        theirs.pool.enable(&id).map_err(|error| refused(&error))?;
        Ok(done(id.to_string(), PASSING))
    }

    pub(super) async fn set(&self, theirs: &Theirs, typed: &str, asked: &Asked) -> Result<Done, Fault> {
        let said: Said = body(asked)?;
        let (weight, priority) = said.place();
        let words = said.words();
        words.check()?;
        self.known_exit(&words)?;
        self.showable(words.said.iter().map(|(_, value)| value.as_str()).chain(words.model.as_deref()))?;
        if words.is_empty() {
            return Err(Fault::wrong("nothing is said of the key"));
        }
        let only_these =
            words.unset.is_empty() && words.said.iter().all(|(name, _)| matches!(*name, "weight" | "priority"));
        let overruled = edits::overruled(&words, &theirs.configured.keys, typed);
        if let Some(set) = Self::each(theirs, typed, move |book, id| words.say(book, id)).await? {
            let Some(overruled) = overruled else { return Ok(set) };
            let id = set.key.unwrap_or_default();
            let but = overruled.sentence;
            return Ok(if overruled.wholly { done(id, &but) } else { done(id, &format!("{LASTING}; but {but}")) });
        }
        if !only_these {
            return Err(no_database("without a database only weight and priority can be changed while it runs"));
        }
        let id = theirs.running(typed).await?;
        if let Some(weight) = weight {
            theirs.pool.set_weight(&id, weight).map_err(|error| refused(&error))?;
        }
        if let Some(priority) = priority {
            theirs.pool.set_priority(&id, Priority(priority)).map_err(|error| refused(&error))?;
        }
        Ok(done(id.to_string(), PASSING))
    }

    pub(super) async fn add(&self, theirs: &Theirs, asked: &Asked) -> Result<Done, Fault> {
        let NewKey { secret, id, said: Object(said) } = body(asked)?;
        let mut spec = edits::read(secret.trim(), "the admin API")?;
        if let Some(id) = &id {
            spec.set("id", id).map_err(|error| edits::wrong("id", &error))?;
        }
        edits::one_name(&mut spec, &theirs.configured.keys)?;
        self.no_token(&spec).await?;
        let words = said.words();
        words.apply(&mut spec)?;
        self.known_exit(&words)?;
        self.showable(edits::shown_of(&spec))?;
        if edits::shown_of(&spec).any(|text| text.contains(spec.secret())) {
            return Err(EditError::Wrong(edits::HOLDS_A_KEY.to_owned()).into());
        }
        let Some(database) = &theirs.database else {
            let id = theirs.pool.add(spec.key()).map_err(|error| refused(&error))?;
            self.passing.give(&theirs.name, &id.to_string(), spec);
            let told = json!({ "id": id, "added": true, "acts": PASSING });
            return Ok(Done { answer: answer(StatusCode::CREATED, &told), key: Some(id.to_string()) });
        };
        let kept = edits::keep(&spec, false, database, None).await?;
        let (created, made) = (now_ms(), kept.made.clone());
        let added = edits::edit(database, move |book| {
            let secret = kept.for_book(book, None)?;
            edits::add(book, &spec, secret, created)
        });
        let added = added.await?;
        let (id, new, acts, status) = match added.0 {
            Added::New(id) => (id, true, LASTING, StatusCode::CREATED),
            Added::Known(id) => (id, false, NOTHING, StatusCode::OK),
        };
        let told = json!({
            "id": id, "added": new, "acts": acts, "disabled": added.1, "secret_key_file": made,
        });
        Ok(Done { answer: answer(status, &told), key: Some(id) })
    }

    pub(super) async fn replace(&self, theirs: &Theirs, typed: &str, asked: &Asked) -> Result<Done, Fault> {
        let NewSecret { secret } = body(asked)?;
        let spec = edits::read(secret.trim(), "the admin API")?;
        self.no_token(&spec).await?;
        let Some(database) = &theirs.database else {
            let id = theirs.running(typed).await?;
            theirs.pool.replace(&id, spec.secret()).map_err(|error| refused(&error))?;
            let mut spec = spec;
            spec.exit = self.spec(theirs, typed).and_then(|old| old.exit);
            self.passing.give(&theirs.name, typed, spec);
            return Ok(done(id.to_string(), PASSING));
        };
        let kept = edits::keep(&spec, false, database, Some(typed)).await?;
        let elsewhere = theirs.elsewhere(database).await?;
        let (typed, hash) = (typed.to_owned(), spec.hash());
        let edited = edits::edit(database, move |book| {
            let id = edits::kept_here_alone(book, &elsewhere, &typed)?;
            let secret = kept.for_book(book, Some(&id))?;
            book.replace(&id, &hash, secret)?;
            Ok(id)
        });
        Ok(done(edited.await?, LASTING))
    }

    pub(super) async fn remove(theirs: &Theirs, typed: &str) -> Result<Done, Fault> {
        let Some(database) = &theirs.database else {
            let id = theirs.running(typed).await?;
            theirs.pool.remove(&id).map_err(|error| refused(&error))?;
            return Ok(done(id.to_string(), PASSING));
        };
        let (typed, elsewhere) = (typed.to_owned(), theirs.elsewhere(database).await?);
        let edited = edits::edit(database, move |book| {
            let id = edits::removable(book, &elsewhere, &typed)?;
            book.remove(&id)?;
            Ok(id)
        });
        Ok(done(edited.await?, LASTING))
    }

    pub(super) async fn import(&self, theirs: &Theirs, asked: &Asked) -> Result<Done, Fault> {
        let Some(database) = &theirs.database else {
            return Err(no_database("without a database a key file cannot be imported: name it in pool.key_files"));
        };
        let source = asked.query("source").unwrap_or("import").to_owned();
        let mut labelled = KeySpec::new("", Origin::Default);
        labelled.set("source", &source).map_err(|error| edits::wrong("source", &error))?;
        // The errors name lines, never what stands there.
        let mut file = KeyFile::parse(Path::new("the body"), &asked.body, &[PLACEHOLDER])
            .map_err(|error| Fault::wrong(error.to_string()))?;
        edits::without_tokens(&mut file, &self.tokens().await?);
        let (record, made) = edits::import(database, file, ("admin API".to_owned(), source), false).await?;
        let rejected: Vec<Value> =
            record.rejected.iter().map(|(line, why)| json!({ "line": line, "why": why })).collect();
        let told = json!({
            "lines": record.lines, "added": record.added, "duplicate": record.duplicate, "rejected": rejected,
            "acts": LASTING, "secret_key_file": made,
        });
        Ok(Done { answer: fine(&told), key: None })
    }
}

const BY_ADDRESS: &str =
    "in this process at once, and within 3 s in those that share its keys and go out by the same address";

impl Admin {
    /// Lifts an exit's rest.
    pub(super) fn lift_exit(&self, theirs: &Theirs, asked: &Asked) -> Result<Done, Fault> {
        let (pool, name) = (theirs.pool.clone(), asked.query("exit").filter(|name| !name.is_empty()));
        let known = |name: &str| self.scene().loaded.exits.knows(name).is_ok();
        if name.is_some_and(|name| !known(name)) {
            return Err(Fault::not_found("no exit is called so"));
        }
        let lifted = pool.lift_exit(name);
        let told = json!({ "exit": name, "lifted": lifted, "acts": BY_ADDRESS });
        Ok(Done { answer: fine(&told), key: Some(name.unwrap_or("(usual exit)").to_owned()) })
    }
}

fn done(id: String, acts: &str) -> Done {
    Done { answer: fine(&json!({ "id": id, "acts": acts })), key: Some(id) }
}

fn no_database(why: &'static str) -> Fault {
    Fault::new(StatusCode::CONFLICT, "no_database", why)
}

/// The pool would not have it.
fn refused(error: &KeyError) -> Fault {
    Fault::new(StatusCode::CONFLICT, "conflict", error.to_string())
}
