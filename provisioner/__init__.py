"""Classroom Provisioner: retired office computers become school classrooms.

The path of a machine, which is also the map of this package:

    discover → enrol → diagnose → wipe → image → configure → verify → hand-over → renew | retire

`lifecycle` holds that path as a table. `model` is the language everybody speaks. `release`
makes what `netboot` offers and `swarm` carries; `agent` works on the machine, `stages` gives it
its orders on the station and judges the evidence that comes back; `fleet` looks after machines
in the field. `store` remembers, `jobs` survives power cuts, and `api`, `web` and `cli` are the
three doors. `lab` is a virtual classroom in which all of it runs for real.
"""
