"""The words of the command line: a file each, with `add` for its arguments and `run` for its work."""
