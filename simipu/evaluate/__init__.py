"""Did the representation become spatial? Retrieval and linear probes, in minutes, on any store."""
