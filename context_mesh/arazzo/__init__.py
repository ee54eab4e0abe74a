"""Arazzo: workflows over several calls, read and evaluated. Nothing here makes a call."""
