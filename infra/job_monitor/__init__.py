"""Tells CloudWatch what Batch does not: how long jobs wait, how long they took, and which failed."""
