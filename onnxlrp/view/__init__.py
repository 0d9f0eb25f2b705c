"""Looking at relevance: pictures, tables, files."""
