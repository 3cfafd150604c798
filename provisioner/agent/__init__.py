"""The program on the machine, in the live environment and in the installed system.

It registers, asks for orders, carries out one at a time, and sends back what it measured and
read back. One module a verb: `diagnose`, `wipe`, `image`, `restart`. Nothing of the station's
code is used here; what runs on a machine must run with Debian's own packages.
"""
