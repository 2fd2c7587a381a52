"""Small tools that need neither a network nor a database."""
