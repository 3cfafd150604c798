"""The stages, one module a verb: what is ordered, and how the evidence is judged.

A stage takes arguments and returns a value; it does not print, touch the database, or call
another stage. `judge_*` functions return the reasons why something is *not* proved; an empty
list is the only success.
"""
