"""Descriptions of APIs on disk and on the network: read, kept, approved. What they mean is in `context_mesh`."""
