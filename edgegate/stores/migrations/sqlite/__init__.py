"""Schema of the SQLite file. Its version is the number of the last file that was applied (`PRAGMA user_version`)."""
