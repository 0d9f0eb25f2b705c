"""From a plan to nodes: the reverse walk and what stands around it."""
