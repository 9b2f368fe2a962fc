"""What a request and a chunk cost: `make bench`, or `python -m tests.bench --help`."""
