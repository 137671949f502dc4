"""The relational policy: features of the relation graph, message passing, memory and heads."""
