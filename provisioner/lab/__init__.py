"""The virtual classroom: PCs that exist only as QEMU processes, on a network of their own.

`make lab` and the tests provision these machines exactly as a workshop provisions real ones:
real firmware, real DHCP, TFTP and HTTP, real disks. Nothing here knows the station; the lab is
the hardware and the wire, no more. It never touches the host's own network.
"""
