"""From a source to a store: the stages, the session that joins them, and its books."""
