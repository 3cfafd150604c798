"""MAKING what pupils open: applications as folders for an image, and courseware as packs.

npm        a package of the npm registry by its digest, kept by content
media      pictures and sounds for the editor, from Debian's `scratch` 1.4
blocks     the block-programming application as one folder, laid out as in the image
notices    what is in it, under which licence, with the licences' texts
packs      content packs: checked, sealed, imported whole or not at all
lessons    lessons of our own → web pages, a Kolibri channel, a ZIM
kolibri    writes a channel as Kolibri reads it from a folder
zim        writes and reads ZIM files
"""
