"""Tests of `embedder.indexes`."""
