"""Threads in every order: a deterministic scheduler, and what runs under it."""
