//! Names that are nearly those that are known: mistyped ones.

/// The known name that this one nearly is: one letter is wrong, missing, too many or exchanged with its neighbour; two in
/// a long one.
pub(super) fn near(name: &str, known: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let is_near = |known: &&str| known.len() > 2 && apart(name, known) <= if known.len() < 8 { 1 } else { 2 };
    known.into_iter().filter(is_near).min_by_key(|known| apart(name, known))
}

/// How many letters must be changed, put in, left out or exchanged with their neighbours.
fn apart(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (rows[i][j] + usize::from(x != y)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mistyped_is_known_and_what_is_another_word_is_not() {
        let known = ["id", "tier", "weight", "owner", "rpm", "source", "priority", "billing_account"];
        for (name, meant) in [
            ("wieght", "weight"),
            ("weigt", "weight"),
            ("owners", "owner"),
            ("rpn", "rpm"),
            ("pirorty", "priority"),
            ("billing account", "billing_account"),
        ] {
            assert_eq!(near(name, known), Some(meant), "{name}");
        }
        for name in ["team", "type", "note", "resource", "ip", "created", "region", "wght", "", "höhe"] {
            assert_eq!(near(name, known), None, "{name}");
        }
        assert_eq!(near(&"x".repeat(1 << 20), known), None);
    }
}
