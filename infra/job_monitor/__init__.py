"""Tells CloudWatch what Batch does not: how long jobs wait, how long they run, and which fail."""
