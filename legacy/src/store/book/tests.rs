use super::*;

fn said(hash: &str, id: Option<&str>) -> KeySettings {
    KeySettings { hash: hash.to_owned(), id: id.map(str::to_owned), ..KeySettings::default() }
}

fn plain() -> KeptSecret {
    KeptSecret::Plain("secret".to_owned())
}

fn filed(hash: &str, id: &str) -> KeyRecord {
    KeyRecord { hash: hash.to_owned(), id: id.to_owned(), weight: 2.0, created: 5, ..KeyRecord::default() }
}

fn book() -> KeyBook {
    let mut book = KeyBook::new([filed("ff00", "filed")], Vec::new(), 7);
    assert_eq!(book.add(said("aa00", Some("one")), plain(), 9), Ok(Added::New("one".to_owned())));
    book
}

#[test]
fn a_key_is_added_once_and_two_never_share_a_name() {
    let mut book = book();
    assert_eq!(book.add(said("aa00", Some("two")), plain(), 9), Ok(Added::Known("one".to_owned())));
    assert_eq!(book.add(said("bb00", Some("one")), plain(), 9), Err(BookError::IdTaken("one".to_owned())));
    assert_eq!(book.add(said("bb00", Some("filed")), plain(), 9), Err(BookError::IdTaken("filed".to_owned())));
    assert_eq!(book.add(said("0123456789abcdef01", None), plain(), 9), Ok(Added::New("k-01234567".to_owned())));
    let longer = book.add(said("01234567ffffffff01", None), plain(), 9);
    assert_eq!(longer, Ok(Added::New("k-01234567ffffffff".to_owned())));
    // A key of a file that is kept here, too, is what it was.
    assert_eq!(book.add(said("ff00", None), plain(), 99), Ok(Added::New("k-ff00".to_owned())));
    assert_eq!(book.by_hash("ff00").unwrap().record.created, 5);
}

#[test]
fn what_is_removed_loses_its_secret_and_its_name_is_free() {
    let mut book = book();
    book.disable("one", "by hand").unwrap();
    book.remove("one").unwrap();
    let gone = book.by_hash("aa00").unwrap();
    assert_eq!((gone.is_kept(), gone.record.state, gone.disabled()), (false, KeyStanding::Removed, None));
    assert_eq!(book.remove("filed"), Err(BookError::Elsewhere("filed".to_owned())));
    assert_eq!(book.remove("nobody"), Err(BookError::Unknown("nobody".to_owned())));
    assert_eq!(book.add(said("bb00", Some("one")), plain(), 9), Ok(Added::New("one".to_owned())));
    assert_eq!(book.find("one").unwrap().record.hash, "bb00", "not the one that left");
}

#[test]
fn a_replaced_key_keeps_name_settings_and_state_and_knows_whose_place_it_took() {
    let mut book = book();
    book.say("one", |said| said.weight = Some(3.0)).unwrap();
    book.disable("one", "costs").unwrap();
    book.replace("one", "bb00", plain()).unwrap();
    book.replace("one", "cc00", plain()).unwrap();
    let key = book.find("one").unwrap();
    let said = key.settings.as_ref().unwrap();
    assert_eq!((&*key.record.hash, said.weight, key.disabled()), ("cc00", Some(3.0), Some("costs")));
    assert_eq!(said.replaces, ["aa00", "bb00"]);
    assert!(!book.by_hash("aa00").unwrap().is_kept() && !book.by_hash("bb00").unwrap().is_kept());
    assert_eq!(book.replace("one", "cc00", plain()), Err(BookError::SameSecret("one".to_owned())));
    assert_eq!(book.replace("one", "ff00", plain()), Err(BookError::SameSecret("filed".to_owned())));
    // Back to the first: it takes nobody's place that is itself.
    book.replace("one", "aa00", plain()).unwrap();
    assert_eq!(book.find("one").unwrap().settings.as_ref().unwrap().replaces, ["bb00", "cc00"]);
}

#[test]
fn a_key_of_a_file_is_switched_off_and_on_and_said_of() {
    let mut book = book();
    book.disable("filed", "by hand").unwrap();
    assert_eq!(book.find("filed").unwrap().disabled(), Some("by hand"));
    book.enable("filed").unwrap();
    let key = book.find("filed").unwrap();
    assert_eq!((key.disabled(), key.settings.as_ref().unwrap().lifted), (None, 7));
    assert_eq!(book.lifted().map(|key| &*key.record.id).collect::<Vec<_>>(), ["filed"]);
    book.say("filed", |said| said.priority = Some(3)).unwrap();
    assert_eq!(book.find("filed").unwrap().record.priority, 3);
}

#[test]
fn what_a_program_wrote_of_a_key_holds_when_a_command_says_something_else() {
    let written = KeyRecord { secret: plain(), owner: Some("me".to_owned()), ..filed("aa00", "stored") };
    let mut book = KeyBook::new([written], Vec::new(), 1);
    book.disable("stored", "by hand").unwrap();
    let said = book.find("stored").unwrap().settings.clone().unwrap();
    assert_eq!((said.id.as_deref(), said.weight, said.owner.as_deref()), (Some("stored"), Some(2.0), Some("me")));
}

#[test]
fn two_keys_of_one_name_are_told_apart_or_refused() {
    let mut book = KeyBook::new([filed("f1", "same"), filed("f2", "same")], Vec::new(), 1);
    assert_eq!(book.disable("same", "x"), Err(BookError::Ambiguous("same".to_owned())));
    assert_eq!(book.changed().count(), 0);
}

/// The book of a store that took these changes in.
fn stored(keys: &KeyBook) -> KeyBook {
    let changed: BTreeSet<&str> = keys.changed().map(|key| &*key.record.hash).collect();
    let numbered = |(hash, key): (&str, &BookKey)| {
        let mut said = key.settings.clone()?;
        hash.clone_into(&mut said.hash);
        if changed.contains(hash) {
            said.revision = keys.revision();
        }
        Some(said)
    };
    let said = keys.keys().filter_map(numbered).collect();
    KeyBook::new(keys.keys().map(|(_, key)| key.record.clone()), said, keys.revision() + 1)
}

#[test]
fn what_a_store_lost_is_put_into_it_again() {
    let before = KeyBook::new([filed("ff00", "filed"), filed("ee00", "other")], Vec::new(), 7);
    let mut changed = stored(&before);
    changed.add(said("aa00", Some("one")), plain(), 9).unwrap();
    changed.disable("filed", "by hand").unwrap();
    let known = stored(&changed);

    let mut older = stored(&before);
    assert_eq!(older.restore(&known), 2);
    assert_eq!(older.changed().map(|key| &*key.record.id).collect::<Vec<_>>(), ["one", "filed"]);
    let one = older.find("one").unwrap();
    assert_eq!((one.is_kept(), one.record.secret.clone()), (true, plain()));
    assert_eq!(older.find("filed").unwrap().disabled(), Some("by hand"));
    assert_eq!(older.restore(&known), 0, "once is enough");

    // One that lost all has the keys again that commands put there; of others a pool tells it.
    let mut empty = KeyBook::new([], Vec::new(), 1);
    assert_eq!(empty.restore(&known), 2);
    assert!(empty.by_hash("ee00").is_none() && empty.find("one").is_ok());

    let mut whole = stored(&known);
    assert_eq!((whole.restore(&known), whole.changed().count()), (0, 0));
}

/// A pool that had the key may have written of it once more before it heard, and whoever looked then remembers that.
#[test]
fn a_key_that_a_command_took_out_is_not_had_again_where_an_older_copy_has_it() {
    let mut before = KeyBook::new([], Vec::new(), 1);
    before.add(said("aa00", Some("one")), plain(), 9).unwrap();
    let before = stored(&before);
    let mut removed = stored(&before);
    removed.remove("one").unwrap();
    let mut known = stored(&removed);
    known.keys.get_mut("aa00").unwrap().record.state = KeyStanding::Active;
    let known = stored(&known);
    assert!(!known.by_hash("aa00").unwrap().has_left());

    let mut older = stored(&before);
    assert_eq!(older.restore(&known), 1);
    assert!(older.by_hash("aa00").unwrap().has_left(), "the copy had its secret");
    // Another process did so before.
    let mut mended = KeyBook::new(older.keys().map(|(_, key)| key.record.clone()), Vec::new(), 2);
    mended.restore(&known);
    assert!(mended.by_hash("aa00").unwrap().has_left());
}

#[test]
fn what_was_said_later_or_taken_out_stays_so() {
    let mut first = book();
    first.say("one", |said| said.weight = Some(2.0)).unwrap();
    let known = stored(&first);
    // Said since, by a command that the earlier look had not seen.
    let mut later = stored(&known);
    later.disable("one", "later").unwrap();
    let mut now = stored(&later);
    assert_eq!(now.restore(&known), 0);
    assert_eq!(now.find("one").unwrap().disabled(), Some("later"));

    // An older copy has a key that was taken out, or has another secret by now.
    let mut removed = stored(&known);
    removed.remove("one").unwrap();
    let mut older = stored(&known);
    assert_eq!(older.restore(&stored(&removed)), 1);
    let gone = older.by_hash("aa00").unwrap();
    assert_eq!((gone.is_kept(), gone.record.state), (false, KeyStanding::Removed));

    let mut replaced = stored(&known);
    replaced.replace("one", "bb00", plain()).unwrap();
    let mut older = stored(&known);
    assert_eq!(older.restore(&stored(&replaced)), 2);
    assert_eq!(older.find("one").unwrap().record.hash, "bb00");
    assert!(!older.by_hash("aa00").unwrap().is_kept());
}

#[test]
fn a_secret_is_kept_in_another_form_and_nothing_else_changes() {
    let mut book = book();
    let before = book.find("one").unwrap().clone();
    let sealed = KeptSecret::Sealed(vec![1, 2]);
    let mut stored = KeyBook::new([before.record.clone(), filed("ff00", "filed")], vec![before.settings.unwrap()], 8);
    // Neither of one that is kept elsewhere, nor away.
    stored.keep("ff00", sealed.clone());
    stored.keep("aa00", KeptSecret::Elsewhere);
    assert_eq!(stored.changed().count(), 0);
    stored.keep("aa00", sealed.clone());
    let changed: Vec<&KeyRecord> = stored.changed().map(|key| &key.record).collect();
    assert_eq!(changed, [&KeyRecord { secret: sealed, ..before.record }]);
    book.remove("one").unwrap();
    book.keep("aa00", plain());
    assert!(!book.by_hash("aa00").unwrap().is_kept());
}
