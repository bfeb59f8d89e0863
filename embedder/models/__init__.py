"""The models: what is known of each, how it is built, and its weights."""
