use crate::sample::Sample;
#[test]
fn dump() {
    for s in Sample::all() {
        let v = s.judged();
        println!(
            "{:<55} {:?} {:?} {:?} {:?} named={} code={} cap={:?} conf={:?}",
            s.name,
            v.kind(),
            v.scope_of(),
            v.until_of(),
            v.elsewhere_of(),
            v.is_named(),
            v.code_of(),
            v.retry_cap_of(),
            v.confirm_after_of()
        );
        if let Some(n) = v.news_of() {
            println!("      {n:?}");
        }
    }
}
