"""Stored vectors: reading, exporting, searching, grouping."""
