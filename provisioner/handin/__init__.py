"""Handing in, on the pupil's and on the teacher's machine: page, box, courier, stick.

A pupil's entry is judged, signed by the machine and brought to its own disk before the pupil sees
a receipt; the courier then brings it to the teacher's machine and home, for weeks if it must.
"""
