"""Tools that make models, pages and measurements; nothing here is part of the package."""
