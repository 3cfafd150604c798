"""HTTP: one application for machines, one for people, on separate addresses.

`machine` is what PCs on the workshop's wire talk to; `operator` is the people's JSON API, behind
a token; `problems` gives both one shape of error; `views` turns what the store holds into what
is shown, for the API, the dashboard and the command line alike.
"""
