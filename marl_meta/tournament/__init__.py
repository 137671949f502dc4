"""Tournaments: entrants play each other, and statistics say who is better and how sure that is.

The statistics (`outcomes.py` and what reads it) are numbers in, numbers out: they neither play nor print.
"""
