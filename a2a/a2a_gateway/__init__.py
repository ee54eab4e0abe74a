"""How A2A speaks, as data: operations in both bindings and versions, cards, tasks, translation.

Pure: nothing here touches network, disk, clock or randomness.
"""
