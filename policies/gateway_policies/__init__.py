"""What is attempted, and may it be: calls, principals, decisions, budgets, rates.

Pure: nothing here touches network, disk, clock or randomness.
"""
