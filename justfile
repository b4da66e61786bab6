# One recipe a verb.

# everything that must pass before a change lands
ci:
    bash .ci/run

# installs what the tests need, and runs them all
test:
    scripts/test

check:
    cargo check --workspace --all-targets --all-features

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features -- -D warnings

doc:
    RUSTDOCFLAGS='-D warnings' cargo doc -p tower-keypool --no-deps --all-features

demo:
    cargo run -- demo

# what the figures measure; names select some
figures *names:
    scripts/figures {{ names }}
