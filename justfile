# One recipe per task.

# run everything that must pass before a change lands
ci:
    bash .ci/run

# install what the tests need, and run all tests
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

# measure performance; names select figures
figures *names:
    scripts/figures {{ names }}
