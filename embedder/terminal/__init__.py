"""What a person sees in a terminal: its width and colours, tables, and bars. A pipe gets the same facts plainly."""
