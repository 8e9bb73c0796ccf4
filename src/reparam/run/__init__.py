"""A run: its configuration, its folder, and what can be done with it."""
