"""A contest's entry: what it is, whether it is whole, and what is in it.

The same code judges an entry on the pupil's machine and once more at home, without executing
anything of it. It runs with what Debian gives an installed machine.
"""
