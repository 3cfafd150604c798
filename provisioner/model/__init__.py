"""The shared language: values that station, agent, release builder and tests all speak.

Everything here is frozen, typed, checked when it is read, and free of I/O.
"""
