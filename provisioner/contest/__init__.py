"""Contests on the station: the organiser's folder, entries that came home, and judging them."""
