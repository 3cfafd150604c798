"""The workshop: hears what machines say and moves each of them along its path.

`dialogue` answers machines, `path` decides what comes next and judges what comes back, `desk`
does what an operator asks for, `board` knows what is going on this very second, and `passport`
tells a machine's history. Everything that must last is in `store`; everything that is decided
is decided by `lifecycle` and `stages`.
"""
