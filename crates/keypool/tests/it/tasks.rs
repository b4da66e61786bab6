//! What a run says at its end of tasks of this input and of others, and of what is no task.

use std::fs;

use gemini_sim::{Fault, Finish, GeminiSim, Limits, Rule};

use crate::batch::Stage;

async fn stage() -> Stage {
    Stage::new(GeminiSim::builder(), 2, Limits::none()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_another_input_that_failed_is_none_of_this_run() {
    let stage = stage().await;
    fs::write(stage.path("one.jsonl"), "{\"id\":\"a\",\"prompt\":\"x\"}\n{\"id\":\"b\",\"prompt\":\"y\"}\n").unwrap();
    fs::write(stage.path("two.jsonl"), "{\"id\":\"c\",\"prompt\":\"x\"}\n").unwrap();
    stage.sim.script(vec![Rule::new(Fault::Finish(Finish::Reason("SAFETY".into()))).times(1)]);
    let ended = stage.run(&["one.jsonl", "-o", "o.jsonl", "--max-retries", "0"]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    let ended = stage.run(&["one.jsonl", "-o", "o.jsonl"]).await;
    assert!(ended.code == 1 && ended.err.contains("1 in earlier runs"), "{ended:?}");
    for _ in 0..2 {
        let ended = stage.run(&["two.jsonl", "-o", "o.jsonl"]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_task_on_standard_input_is_in_the_results_and_what_is_said_of_it_is_true() {
    let stage = stage().await;
    let good = "{\"id\":\"a\",\"prompt\":\"x\"}\n{\"id\":\"b\",\"prompt\":\"y\"}\n";
    let bad = format!("{good}{{\"id\":\"a\",\"prompt\":\"z\"}}\n{{\"id\":\"c\", \"pro\n");
    for args in [&["-", "-o", "s.jsonl"][..], &["-", "-o", "s.jsonl", "--retry-failed"]] {
        let ended = stage.piped(args, bad.clone()).await;
        assert!(ended.code == 1 && ended.err.contains("2 tasks failed (2 input)"), "{ended:?}");
        assert!(ended.err.contains("why stands in s.jsonl: mend the input"), "{ended:?}");
        assert!(!ended.err.contains("--retry-failed tries them again"), "{ended:?}");
        assert_eq!(stage.results("s.jsonl").iter().filter(|result| result["success"] == false).count(), 2);
    }
    let ended = stage.piped(&["-"], bad).await;
    assert!(ended.code == 1 && ended.out.lines().count() == 4, "{ended:?}");
    assert!(ended.out.contains("\"id\":\"line 3\"") && ended.out.contains("\"id\":\"line 4\""), "{ended:?}");
    let ended = stage.piped(&["-", "-o", "s.jsonl"], good).await;
    assert_eq!((ended.code, stage.results("s.jsonl").len()), (0, 2), "{ended:?}");
}
