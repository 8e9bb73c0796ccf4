"""The metrics, by subject; `table` collects them."""
