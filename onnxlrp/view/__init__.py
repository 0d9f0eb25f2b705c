"""Views of relevance: pictures, tables, files."""
