# `just` lists everything. CI runs these same recipes.

default:
    @just --list

# The server, on http://127.0.0.1:8080
run:
    cargo run

# Installs what the tests need (Debian packages, npm packages)
install:
    tests/install.sh

# All tests, and first what they need
test:
    tests/run

# What CI looks at besides the tests
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
    cargo deny check bans

# A hundred worlds
sim:
    cargo run --release -p transtalk-simulator -- run --seeds 100

# Everything
check: lint test sim

# The generated documents
openapi:
    cargo run --quiet -- openapi > openapi/openapi.json
    cargo run --quiet -- openapi --yaml > openapi/openapi.yaml

# Acknowledged appends, beside one row a transaction; requests a second by signature algorithm
bench:
    cargo bench -p transtalk-adapters --bench append
    cargo bench -p transtalk-tests --bench auth
