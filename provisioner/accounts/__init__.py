"""Who may what: accounts, roles, sessions, one-time codes and tokens for scripts.

`roles` is the table of rights; `people` keeps accounts, `sessions` lets them in and out, `tokens`
are for programs, and `throttle` slows down whoever guesses. Only digests of secrets are stored.
"""
