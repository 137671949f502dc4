"""What the games of a tournament say, and how surely: ratings, equilibria, cycles, adaptation, early stops."""
