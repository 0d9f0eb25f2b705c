"""What makes models, pages and measurements; nothing here is part of the package."""
