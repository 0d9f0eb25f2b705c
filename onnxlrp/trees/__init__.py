"""Tree ensembles as arrays, and the nodes that carry relevance back through them."""
