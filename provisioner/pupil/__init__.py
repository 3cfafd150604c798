"""ON THE PUPIL'S PC: block programming as an application, from a loopback server of our own.

    launch    one double click: finds or starts the server, opens Chromium in its own window
    server    answers the editor on 127.0.0.1: its files, pictures and sounds, works, speech
    works     the pupil's folder: opens, saves so that a power cut leaves old or new, renames
    sb3       is this file a project? judged without believing it
    library   which pictures and sounds are there; those without files are not offered
    assets    brings a pack of pictures and sounds in from a folder or a stick
    speech    what the speech blocks say, by espeak-ng
    browser   how Chromium is started, and the policies that keep it silent

Runs with Debian's Python and its standard library only; `page/` is what Chromium is given.
"""
