"""Carrying: how the files of a release reach a machine, whole and checked."""
