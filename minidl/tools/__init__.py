"""Files that appear whole or not at all, and what shows how far a long computation is."""
