"""Evidence for the default composite: a deletion test on small trained networks."""
