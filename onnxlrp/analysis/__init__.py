"""Analysis of the canonical graph: facts about every value, computed once and read by the plan and the emission."""
