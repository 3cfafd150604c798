"""IN THE FIELD: schools, their configuration, and what happens to their machines later."""
