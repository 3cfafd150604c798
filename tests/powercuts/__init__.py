"""Power cuts: what an imaging and a renewal write is recorded, cut at many points, and judged."""
