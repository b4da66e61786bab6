//! Keys of files that nobody has any more: they are not counted, and can be taken out.

use crate::home::{Home, end, secret, simulator, within_2s};

fn both() -> String {
    format!("{} id=bad\n{} id=ok\n", secret(0), secret(1))
}

fn ok() -> String {
    format!("{} id=ok\n", secret(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_left_while_no_gateway_ran_is_gone_when_one_starts() {
    for disabled in [true, false] {
        let (home, sim) = (Home::new(), simulator(2).await);
        home.write("key.txt", &both());
        end(home.serve(&sim, &[])).await;
        if disabled {
            home.run(&["keys", "disable", "bad"]).good();
        }
        home.write("key.txt", &ok());
        end(home.serve(&sim, &[])).await;
        assert_eq!(home.key("bad")["state"], "removed", "{disabled}");
        let health = home.run(&["health"]);
        assert!(health.out.contains("all is well: 1 of 1 key usable"), "{disabled}: {health:?}");
        home.run(&["keys", "remove", "bad"]).bad(2, "bad was removed");
        // It is back, as it was.
        home.write("key.txt", &both());
        let state = if disabled { "disabled" } else { "usable" };
        assert_eq!(home.key("bad")["state"], state, "before a gateway has it");
        end(home.serve(&sim, &[])).await;
        assert_eq!(home.key("bad")["state"], state);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_switched_off_and_left_is_gone() {
    let (home, sim) = (Home::new(), simulator(2).await);
    home.write("key.txt", &both());
    let running = home.serve(&sim, &[]);
    home.run(&["keys", "disable", "bad"]).good();
    within_2s(&running, &["ok"]).await;
    home.write("key.txt", &ok());
    let left = async {
        while home.key("bad")["state"] != "removed" {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let left = tokio::time::timeout(crate::home::ACTS, left).await;
    assert!(left.is_ok(), "{:#}", home.key("bad"));
    assert!(home.run(&["health"]).good().contains("1 of 1 key usable"));
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_no_place_has_can_be_taken_out() {
    let (home, sim) = (Home::new(), simulator(2).await);
    home.write("key.txt", &both());
    let running = home.serve(&sim, &[]);
    home.run(&["keys", "remove", "bad"]).bad(2, "in a file or a variable");
    end(running).await;
    home.run(&["keys", "remove", "bad"]).bad(2, "in a file or a variable");
    home.write("key.txt", &ok());
    home.run(&["keys", "remove", "bad"]).good();
    assert!(home.run(&["health"]).good().contains("1 of 1 key usable"));
    // What is said of it then is said to nobody, for now.
    for change in ["disable", "enable"] {
        let ended = home.run(&["keys", change, "bad", "ok"]);
        assert!(ended.err.contains("bad has left") && !ended.err.contains("ok has left"), "{change}: {ended:?}");
        ended.good();
    }
}

#[test]
fn one_that_was_removed_stays_so_whatever_is_said_of_it() {
    let home = Home::new();
    home.add(0, "a", &[]);
    home.add(1, "b", &[]);
    home.run(&["keys", "remove", "b"]).good();
    for change in [&["disable", "b"][..], &["enable", "b"], &["set", "b", "--weight", "2"]] {
        home.run(&[&["keys"], change].concat()).good();
        assert_eq!(home.key("b")["state"], "removed", "{change:?}");
    }
    assert!(home.run(&["health"]).good().contains("1 of 1 key usable"));
    // Unless a file has it by now.
    home.write("key.txt", &format!("{} id=b\n", secret(1)));
    home.run(&["keys", "disable", "b"]).good();
    assert_eq!(home.key("b")["state"], "disabled");
}

/// A gateway has a file that commands do not see: a key that stands there as well is not taken out of the database alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_gateway_has_from_elsewhere_as_well_is_neither_removed_nor_replaced() {
    let (home, sim) = (Home::new(), simulator(3).await);
    let file = home.write("elsewhere.txt", &both());
    home.run(&["import", &file]).good();
    let running = home.serve(&sim, &["--keys", &file]);
    home.run(&["keys", "disable", "bad"]).good();
    within_2s(&running, &["ok"]).await;
    let why = "the secret of bad stands in a file or a variable of a gateway that runs as well";
    home.run(&["keys", "remove", "bad"]).bad(2, why);
    home.pipe(&["keys", "replace", "bad", "-"], &secret(2)).bad(2, why);
    assert_eq!(home.key("bad")["state"], "disabled");
    end(running).await;
    // Nobody is known to have it, and it may be replaced; what it was before is out of use as long as that is known.
    home.pipe(&["keys", "replace", "ok", "-"], &secret(2)).good();
    let running = home.serve(&sim, &["--keys", &file]);
    within_2s(&running, &["ok"]).await;
    home.run(&["keys", "remove", "ok"])
        .bad(2, "an earlier secret of ok, which was replaced, stands in a file or a variable");
    end(running).await;
    home.write("key.txt", &ok());
    home.run(&["keys", "remove", "ok"]).bad(2, "which was replaced, stands in key.txt:1 still");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_was_killed_is_not_taken_for_one_that_has_a_key() {
    let (home, sim) = (Home::new(), simulator(2).await);
    home.write("key.txt", &both());
    let running = home.serve(&sim, &[]);
    within_2s(&running, &["bad", "ok"]).await;
    running.kill();
    home.write("key.txt", &ok());
    let running = home.serve(&sim, &[]);
    assert_eq!(home.key("bad")["state"], "removed");
    assert!(home.run(&["health"]).good().contains("1 of 1 key usable"));
    end(running).await;
}
