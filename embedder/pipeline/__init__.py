"""From a source to a store: the stages, the session that opens and closes everything, and the counts of a run."""
