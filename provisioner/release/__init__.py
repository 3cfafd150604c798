"""MAKING: recipe → release.

`recipe` says what is wanted, `sources` and `packages` where it comes from, `bootstrap` makes
the tree, `tree`, `content`, `initramfs`, `live` and `loader` shape it, `squashfs` packs it,
`chunking` notes its pieces (`chunks` is the map's form), `manifest` vouches for it, `catalog`
keeps it; `build` is the list of steps.
"""
