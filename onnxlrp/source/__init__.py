"""From whatever the user has to a canonical graph."""
