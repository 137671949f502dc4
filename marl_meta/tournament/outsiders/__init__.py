"""Entrants from outside: their interface, the styles they come in, and the processes that they are kept in."""
