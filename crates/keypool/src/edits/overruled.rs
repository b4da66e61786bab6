//! What is said of a key that a file or a variable says otherwise: that counts.

use tower_keypool::config::{KeySpec, Origin};

use super::{Words, configured::places};

/// What comes of words that a file or a variable overrules.
#[derive(Debug)]
pub struct Overruled {
    /// What is told of it.
    pub sentence: String,
    /// It overrules all of them.
    pub wholly: bool,
}

/// Which of these words, of the key that was typed, something overrules that is configured.
pub fn overruled(words: &Words, configured: &[KeySpec], typed: &str) -> Option<Overruled> {
    let spec = configured.iter().find(|spec| spec.key().key_id().to_string() == typed || spec.secret() == typed)?;
    let names = names(words, spec);
    if names.is_empty() {
        return None;
    }
    let said = words.said.iter().map(|(name, _)| if matches!(*name, "rpm" | "tpm" | "rpd") { "limits" } else { *name });
    let mut all = said.chain(words.unset.iter().map(String::as_str));
    let wholly = all.all(|name| names.contains(&name));
    let sentence = format!(
        "{} says otherwise of {}, and that counts: change it there (what is said here holds once nothing is said there)",
        places(spec),
        names.join(", ")
    );
    Some(Overruled { sentence, wholly })
}

fn names(words: &Words, spec: &KeySpec) -> Vec<&'static str> {
    let mut said = KeySpec::new("", Origin::Default);
    if words.apply(&mut said).is_err() {
        return Vec::new();
    }
    let (held, said) = (spec.settings(), said.settings());
    let unset = |name: &str| words.unset.iter().any(|unset| unset == name);
    let differs =
        |name: &str, is_held: bool, is_said: bool, is_same: bool| is_held && (is_said || unset(name)) && !is_same;
    let mut names = Vec::new();
    macro_rules! fields {
        ($($name:literal $field:ident,)*) => {$(
            if differs($name, held.$field.is_some(), said.$field.is_some(), held.$field == said.$field) {
                names.push($name);
            }
        )*};
    }
    fields! {
        "tier" tier, "priority" priority, "weight" weight, "owner" owner, "exit" exit, "billing_account" billing_account,
        "concurrent" max_concurrent, "interval" min_interval, "zone" zone,
    }
    let of = |source: bool| held.labels.iter().filter(move |(name, _)| (*name == "source") == source);
    for (name, source) in [("source", true), ("label", false)] {
        let is_other = of(source).any(|(name, value)| said.labels.get(name).is_some_and(|said| said != value));
        // What takes the place of all that was said says nothing of those that it leaves out.
        let none_said = said.labels.keys().all(|name| (name == "source") != source);
        if is_other || (unset(name) && none_said && of(source).next().is_some()) {
            names.push(name);
        }
    }
    let is_other = held.limits.iter().any(|(model, held)| said.limits.get(model).is_some_and(|said| said != held));
    if is_other || (unset("limits") && said.limits.is_empty() && !held.limits.is_empty()) {
        names.push("limits");
    }
    names
}
