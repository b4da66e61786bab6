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
