"""What operators do while the gateway runs: keys, usage, the ledger, the audit record; over HTTP and on the command line."""
