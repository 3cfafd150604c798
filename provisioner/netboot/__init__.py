"""OFFERING: a machine that is switched on finds the station and boots the live environment.

`settings` say where, `dnsmasq` answers DHCP and TFTP, `menus` are what the loaders are told,
`publish` lays out the few files that TFTP hands out.
"""
