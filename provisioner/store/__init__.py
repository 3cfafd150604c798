"""What the station remembers: machines, batches, runs, and an append-only journal of events."""
